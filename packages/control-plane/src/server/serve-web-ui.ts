import { isIP } from "node:net";
import type { ControlServiceService } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import { listenWeb, StaticFiles, WebGateway, webUiDirectory } from "@berth/proto/web";
import type { Logger } from "pino";
import { hostOfAddress } from "../core/membership/server-records.js";
import type { ServerIdentity } from "../identity/server-identity.js";
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
  readonly identity: Pick<ServerIdentity, "rpc" | "serverId">;
  readonly handlers: RpcHandlers<typeof ControlServiceService>;
  readonly logger: Logger;
}

/** The running web UI of a server. */
export interface ServedWebUi {
  readonly url: string;
  close(): void;
}

/**
 * Serves the web UI and the HTTP API. Returns undefined if this fails: the cluster works without the web UI, so the server
 * continues to run.
 */
export async function serveWebUi(options: ServeWebUiOptions): Promise<ServedWebUi | undefined> {
  const { web, advertise, hosts, identity, handlers, logger } = options;
  const advertisedHost = hostOfAddress(advertise);
  const gateway = new WebGateway({
    backend: webBackend({ handlers, serverId: identity.serverId }),
    files: await StaticFiles.read(webUiDirectory()),
    checks: {
      scheme: "https",
      hostNames: new Set(hosts),
    },
    cookieName: COOKIE,
    now: () => Date.now(),
    onInternalError: (path, error) => logger.error({ err: error, path }, "request failed unexpectedly"),
  });
  try {
    const listener = await listenWeb(gateway, { listen: web, identity: identity.rpc, option: "--web" });
    const port = listener.address.slice(listener.address.lastIndexOf(":") + 1);
    const host = isIP(advertisedHost) === 6 ? `[${advertisedHost}]` : advertisedHost;
    return {
      url: `https://${host}:${port}`,
      close: () => {
        gateway.close();
        listener.close();
      },
    };
  } catch (error) {
    gateway.close();
    logger.error({ err: error }, "cannot serve the web UI; continuing without it");
    return undefined;
  }
}
