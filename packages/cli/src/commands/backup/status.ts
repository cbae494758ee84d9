import type { GetRestoreResponse } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { describeRestore, restoreJson } from "../../output/backups.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth backup status` */
export async function showRestore(cli: Cli, options: GlobalOptions): Promise<void> {
  const response: GetRestoreResponse = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.getRestore({}, { signal: cli.signal })),
  );
  if (options.output === "json") {
    printJson(cli, restoreJson(response));
  } else {
    cli.stdout.write(describeRestore(response));
  }
}
