import { BerthError } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import { volumeRows } from "../../output/volumes.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { printNodeErrors } from "./print-node-errors.js";

/** Timeout of the call. Deleting the contents of a large volume takes Docker some time. */
const TIMEOUT_MS = 70_000;

export interface VolumeRemoveOptions extends GlobalOptions {
  readonly node?: string;
  readonly force?: boolean;
}

/** `berth volume rm VOLUME…`: removes each volume from the node that has it, or from `--node`. */
export async function removeVolumes(
  cli: Cli,
  options: VolumeRemoveOptions,
  names: readonly string[],
): Promise<void> {
  const { force = false } = options;
  const { signal } = cli;
  const isJson = options.output === "json";
  const removed: { readonly node: string; readonly name: string }[] = [];
  await withClient(cli, options, async (client) => {
    for (const name of names) {
      const node = options.node ?? (await findNode(cli, client, name));
      if (node === undefined) {
        if (force) continue;
        throw new BerthError({ code: "BERTH_NOT_FOUND", message: `no such volume on any node: ${name}` });
      }
      const request = { node, names: [name], force };
      const { error } = await client.removeVolumes(request, { signal, timeoutMs: TIMEOUT_MS });
      if (error !== "") {
        const message = `volume ${name} was not removed: ${error}`;
        throw new BerthError({ code: "BERTH_ENGINE_FAILED", message });
      }
      removed.push({ node, name });
      if (!isJson) cli.stdout.write(`${name}\n`);
    }
  });
  if (isJson) printJson(cli, { removed });
}

/**
 * Returns the node that has the volume, or undefined. Warns about nodes whose volumes are not known.
 *
 * @throws BerthError BERTH_AMBIGUOUS if several nodes have the volume: their contents differ
 */
async function findNode(cli: Cli, client: ControlClient, name: string): Promise<string | undefined> {
  const { nodes } = await client.listVolumes({ node: "", name }, { signal: cli.signal });
  printNodeErrors(cli, nodes);
  const [first, ...others] = volumeRows(nodes);
  if (others.length === 0) return first?.node;
  const hostnames = [first, ...others].map((row) => row?.node).join(", ");
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `volume ${name} is on several nodes (${hostnames}); choose one with --node`,
  });
}
