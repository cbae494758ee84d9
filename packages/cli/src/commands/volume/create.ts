import { withClient } from "../../client/client.js";
import { parseLabels } from "../../options/parse-options.js";
import { printJson } from "../../output/print.js";
import { volumeJson } from "../../output/volumes.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface VolumeCreateOptions extends GlobalOptions {
  readonly node: string;
  readonly driver: string;
  readonly label?: readonly string[];
  readonly opt?: readonly string[];
}

/** `berth volume create --node NODE VOLUME` */
export async function createVolume(cli: Cli, options: VolumeCreateOptions, name: string): Promise<void> {
  const { node, driver } = options;
  const labels = parseLabels("--label", options.label ?? []);
  const driverOpts = parseLabels("--opt", options.opt ?? []);
  const { volume } = await withClient(cli, options, (client) =>
    client.createVolume({ node, volume: { name, driver, driverOpts, labels } }, { signal: cli.signal }),
  );
  if (options.output === "json" && volume !== undefined) {
    printJson(cli, volumeJson({ volume, node }));
  } else {
    cli.stdout.write(`${name}\n`);
  }
}
