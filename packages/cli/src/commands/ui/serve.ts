import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import { LOGIN_CODE_TTL_MS, LoginCodes } from "@berth/proto/login-codes";
import { listenWeb, StaticFiles, type WebBackend, WebGateway, webUiDirectory } from "@berth/proto/web";
import { type ControlClient, withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { loginLink } from "./login.js";

/** Listen address, to which only programs on this computer can connect. */
const HOST = "127.0.0.1";

/** Longest delay that a timer supports: 24 days. It stands for no time limit. */
const FOREVER_MS = 2 ** 31 - 1;

export interface UiOptions extends GlobalOptions {
  readonly port: string;
  readonly readOnly?: boolean;
}

/**
 * `berth ui`: serves the web UI on this computer until the command is interrupted. The web UI acts with the identity of the
 * command line. Other users of the computer need the code in the link.
 */
export async function serveUi(cli: Cli, options: UiOptions): Promise<void> {
  const port = parsePort(options.port);
  await withClient(cli, options, async (client) => {
    await client.getCaller({}, { signal: cli.signal });
    const codes = new LoginCodes();
    const gateway = new WebGateway({
      backend: localBackend(client, codes, cli.now),
      files: await StaticFiles.read(webUiDirectory()),
      checks: { scheme: "http", hostNames: new Set() },
      // Cookies do not depend on the port, so two pages on this computer need different names.
      cookieName: `berth-session-${randomBytes(4).toString("hex")}`,
      nowMs: cli.now,
      onInternalError: (path, error) => cli.stderr.write(`${path}: ${String(error)}\n`),
    });
    const listener = await listenWeb(gateway, { listen: `${HOST}:${port}`, option: "--port" });
    try {
      const grant = { userName: "ui", isReadOnly: options.readOnly ?? false };
      const { code, expiresAtMs } = codes.create(grant, cli.now());
      const link = loginLink(`http://${listener.address}`, code);
      if (options.output === "json") {
        printJson(cli, { link, expiresAtMs });
      } else {
        cli.stdout.write(`${link}\n`);
        cli.stderr.write(
          `The link works once, within ${LOGIN_CODE_TTL_MS / 1_000} s. Press Ctrl-C to stop.\n`,
        );
      }
      await sleep(FOREVER_MS, undefined, { signal: cli.signal });
    } finally {
      gateway.close();
      listener.close();
    }
  });
}

function localBackend(client: ControlClient, codes: LoginCodes, now: () => number): WebBackend {
  return { redeem: async (code) => codes.redeem(code, now()), callsOf: () => client };
}

/** @throws BerthError BERTH_INPUT_INVALID */
function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `invalid --port ${JSON.stringify(text)}; use a number up to 65535, or 0 for a free port`,
  });
}
