import { BerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import { volumeJson, volumeRows } from "../../output/volumes.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { printNodeErrors } from "./print-node-errors.js";

export interface VolumeInspectOptions extends GlobalOptions {
  readonly node?: string;
}

/** `berth volume inspect VOLUME…`: prints the volumes with these names on all nodes. */
export async function inspectVolumes(
  cli: Cli,
  options: VolumeInspectOptions,
  names: readonly string[],
): Promise<void> {
  const { signal } = cli;
  const responses = await withClient(cli, options, (client) =>
    Promise.all(names.map((name) => client.listVolumes({ node: options.node ?? "", name }, { signal }))),
  );
  const nodes = responses.flatMap((response) => response.nodes);
  printNodeErrors(cli, nodes);
  const rows = volumeRows(nodes);
  const missing = names.filter((name) => !rows.some(({ volume }) => volume.name === name));
  printJson(cli, rows.map(volumeJson));
  if (missing.length > 0) {
    throw new BerthError({
      code: "BERTH_NOT_FOUND",
      message: `no such volume on any node: ${missing.join(", ")}`,
    });
  }
}
