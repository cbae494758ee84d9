import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { fileOutcomeJson } from "../../output/files.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type FileNoun, fileKindOf } from "./file-kind.js";

/** `berth secret rm SECRET…` and `berth config rm CONFIG…`. Removes all of them, or none if one is in use. */
export function removeFiles(noun: FileNoun) {
  return async (cli: Cli, options: GlobalOptions, names: readonly string[]): Promise<void> => {
    const request = { kind: fileKindOf(noun), names: [...names] };
    const { files } = await withClient(cli, options, (client) =>
      retryDuringElection(cli, () => client.removeFiles(request, { signal: cli.signal })),
    );
    if (options.output === "json") {
      printJson(cli, { removed: files.map(fileOutcomeJson) });
    } else {
      cli.stdout.write(files.map(({ name }) => `${name}\n`).join(""));
    }
  };
}
