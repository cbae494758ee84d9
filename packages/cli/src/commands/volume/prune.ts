import { BerthError, type PruneVolumesResponse } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { invalidOptionError } from "../../options/parse-options.js";
import { formatBytes } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";
import { printNodeErrors } from "./print-node-errors.js";

/** Timeout of the call. Deleting the contents of large volumes takes Docker some time. */
const TIMEOUT_MS = 70_000;

export interface VolumePruneOptions extends GlobalOptions {
  readonly node?: string;
  readonly all?: boolean;
  readonly force?: boolean;
}

/** `berth volume prune`: removes the volumes that no container of their node uses. */
export async function pruneVolumes(cli: Cli, options: VolumePruneOptions): Promise<void> {
  const { node = "", all = false } = options;
  if (!options.force) {
    const volumes = all ? "all volumes" : "all anonymous volumes";
    const nodes = node === "" ? "all nodes" : node;
    throw invalidOptionError(
      "volume prune",
      `this removes ${volumes} of ${nodes} that no container uses; use --force to confirm`,
    );
  }
  const { nodes } = await withClient(cli, options, (client) =>
    client.pruneVolumes({ node, all }, { signal: cli.signal, timeoutMs: TIMEOUT_MS }),
  );
  printNodeErrors(cli, nodes);
  if (options.output === "json") {
    printJson(cli, nodes);
  } else {
    printRemoved(cli, nodes);
  }
  if (nodes.length > 0 && nodes.every(({ error }) => error !== "")) {
    throw new BerthError({
      code: "BERTH_ENGINE_FAILED",
      message: "no volumes were removed: every node failed",
    });
  }
}

function printRemoved(cli: Cli, nodes: PruneVolumesResponse["nodes"]): void {
  for (const { hostname, removed } of nodes) {
    for (const name of removed) cli.stdout.write(`${hostname}: ${name}\n`);
  }
  const bytes = nodes.reduce((sum, { reclaimedBytes }) => sum + reclaimedBytes, 0);
  cli.stdout.write(`Total reclaimed space: ${formatBytes(bytes)}\n`);
}
