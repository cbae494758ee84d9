import { isIP } from "node:net";
import type { ControlServiceService } from "@berth/proto";
import type { RpcHandlers, RpcIdentity } from "@berth/proto/rpc";
import { listenWeb, StaticFiles, WebGateway, webUiDirectory } from "@berth/proto/web";
import type { Logger } from "pino";
import { hostOfAddress } from "../core/membership/server-records.js";
import { webBackend } from "./web-backend.js";

/** Name of the session's cookie. Browsers accept this prefix only over HTTPS, and send the cookie to this host only. */
const COOKIE = "__Host-berth-session";

export interface ServeWebUiOptions {
  /** "host:port"; port 0 picks a free one. */
  readonly web: string;
  /** "host:port" at which other hosts reach the server. Its host is part of the web UI's URL. */
  readonly advertise: string;
  /** IP addresses and names at which browsers open the web UI. */
  readonly hosts: readonly string[];
  /** Certificate of the web UI. */
  readonly identity: RpcIdentity;
  readonly serverId: string;
  readonly handlers: RpcHandlers<typeof ControlServiceService>;
  /** Directory of the built web UI. @default the installed one */
  readonly filesDirectory?: string;
  readonly logger: Logger;
}

/** The running web UI of a server. */
export interface ServedWebUi {
  readonly url: string;
  close(): void;
}

/**
 * Serves the web UI and the HTTP API. Returns undefined after a failure, which is logged: the cluster works without the
 * web UI, so the server continues to run.
 */
export async function serveWebUi(options: ServeWebUiOptions): Promise<ServedWebUi | undefined> {
  try {
    return await openGateway(options);
  } catch (error) {
    options.logger.error({ err: error }, "cannot serve the web UI; continuing without it");
    return undefined;
  }
}

async function openGateway({
  web,
  advertise,
  hosts,
  identity,
  serverId,
  handlers,
  filesDirectory = webUiDirectory(),
  logger,
}: ServeWebUiOptions): Promise<ServedWebUi> {
  const gateway = new WebGateway({
    backend: webBackend({ handlers, serverId }),
    files: await StaticFiles.read(filesDirectory),
    checks: { scheme: "https", hostNames: new Set(hosts) },
    cookieName: COOKIE,
    nowMs: () => Date.now(),
    onInternalError: (path, error) => logger.error({ err: error, path }, "request failed unexpectedly"),
  });
  try {
    const listener = await listenWeb(gateway, { listen: web, identity, option: "--web" });
    return {
      url: urlOf(hostOfAddress(advertise), listener.address),
      close: () => {
        gateway.close();
        listener.close();
      },
    };
  } catch (error) {
    gateway.close();
    throw error;
  }
}

/** Returns the URL of the web UI, with the port of its listener. */
function urlOf(host: string, listenAddress: string): string {
  const port = listenAddress.slice(listenAddress.lastIndexOf(":") + 1);
  return `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}
