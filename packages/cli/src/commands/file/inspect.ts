import { withClient } from "../../client/client.js";
import { fileDetailsJson, fileDetailsText } from "../../output/files.js";
import { printJson } from "../../output/print.js";
import type { Cli } from "../../process/cli.js";
import type { InspectOptions } from "../service/inspect.js";
import { type FileNoun, fileKindOf } from "./file-kind.js";

/** `berth secret inspect SECRET…` and `berth config inspect CONFIG…` */
export function inspectFiles(noun: FileNoun) {
  return async (cli: Cli, options: InspectOptions, names: readonly string[]): Promise<void> => {
    const kind = fileKindOf(noun);
    const files = await withClient(cli, options, (client) =>
      Promise.all(names.map((name) => client.getFile({ kind, name }, { signal: cli.signal }))),
    );
    if (options.pretty !== true || options.output === "json") {
      printJson(cli, files.map(fileDetailsJson));
    } else {
      cli.stdout.write(files.map((file) => fileDetailsText(file, cli.now())).join("\n"));
    }
  };
}
