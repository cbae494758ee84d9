import { BerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface UiLoginOptions extends GlobalOptions {
  readonly readOnly?: boolean;
}

/** `berth ui login`: prints links to the web UIs of the servers, with a code that logs in once. */
export async function printLogin(cli: Cli, options: UiLoginOptions): Promise<void> {
  const request = { readOnly: options.readOnly ?? false };
  const { code, expiresAtMs, urls } = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.createLogin(request, { signal: cli.signal })),
  );
  if (urls.length === 0) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: 'no server has a web UI; start one with --web, or use "berth ui"',
    });
  }
  const links = urls.map((url) => loginLink(url, code));
  if (options.output === "json") return printJson(cli, { links, expiresAtMs });
  cli.stdout.write(links.map((link) => `${link}\n`).join(""));
  cli.stderr.write("The code is valid for one minute, for one login.\n");
}

/** Returns the link with which the web UI logs in. Browsers do not send the part after "#" to servers. */
export function loginLink(url: string, code: string): string {
  return `${url}/#login=${encodeURIComponent(code)}`;
}
