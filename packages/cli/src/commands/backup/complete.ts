import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { pluralize } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface CompleteRestoreOptions extends GlobalOptions {
  readonly force?: boolean;
}

/** `berth backup complete` */
export async function completeRestore(cli: Cli, options: CompleteRestoreOptions): Promise<void> {
  const { removedTasks } = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () =>
      client.completeRestore({ force: options.force ?? false }, { signal: cli.signal }),
    ),
  );
  if (options.output === "json") {
    printJson(cli, { removedTasks });
  } else {
    cli.stdout.write(
      `Completed the restore; ${pluralize(removedTasks, "unknown container")} will be removed\n`,
    );
  }
}
