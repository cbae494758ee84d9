import { withClient } from "../../client/client.js";
import { applyFilters } from "../../options/filters.js";
import { FILE_FILTERS, fileListing } from "../../output/files.js";
import { printListing } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { type FileNoun, fileKindOf } from "./file-kind.js";

export interface FileListOptions extends GlobalOptions {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
}

/** `berth secret ls` and `berth config ls` */
export function listFiles(noun: FileNoun) {
  return async (cli: Cli, options: FileListOptions): Promise<void> => {
    const { files } = await withClient(cli, options, (client) =>
      client.listFiles({ kind: fileKindOf(noun), stack: "" }, { signal: cli.signal }),
    );
    const rows = applyFilters(files, options.filter ?? [], FILE_FILTERS);
    printListing(cli, fileListing(rows, cli.now()), options);
  };
}
