import { withClient } from "../../client/client.js";
import { formatDuration } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import type { Cli } from "../../process/cli.js";
import { installLine } from "./install-line.js";
import { type InstallTokenOptions, requestInstallation } from "./request-installation.js";

/** `berth host script`: prints a line with which a host without ssh installs berth and joins as a node. */
export async function printInstallLine(cli: Cli, options: InstallTokenOptions): Promise<void> {
  const installation = await withClient(cli, options, (client) => requestInstallation(cli, client, options));
  const line = installLine(installation);
  if (options.output === "json") {
    printJson(cli, { command: line, expiresAtMs: installation.expiresAtMs });
    return;
  }
  if (cli.stdout.isTty) {
    const validity = formatDuration(installation.expiresAtMs - cli.now()).toLowerCase();
    cli.stdout.write(`Run this line as root on the host, within ${validity}:\n\n`);
  }
  cli.stdout.write(`${line}\n`);
}
