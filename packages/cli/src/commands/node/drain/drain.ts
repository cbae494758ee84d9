import { Availability, type Node } from "@berth/proto";
import { withClient } from "../../../client/client.js";
import { parseTimeoutMs } from "../../../options/parse-options.js";
import { pluralize } from "../../../output/human.js";
import { nodeHostname } from "../../../output/nodes.js";
import { printJson } from "../../../output/print.js";
import { styled } from "../../../output/style.js";
import type { Cli, GlobalOptions } from "../../../process/cli.js";
import { setAvailability } from "../set-availability.js";
import type { DrainProgress } from "./drain-progress.js";
import { blockedLines } from "./render-drain.js";
import { waitForDrain } from "./wait-for-drain.js";

export interface DrainOptions extends GlobalOptions {
  readonly detach?: boolean;
  readonly timeout: string;
}

/** `berth node drain NODE…`: sets the availability of nodes to `drain`, and waits until their tasks have moved. */
export async function drainNodes(cli: Cli, options: DrainOptions, names: readonly string[]): Promise<void> {
  const timeoutMs = parseTimeoutMs(options.timeout);
  const isJson = options.output === "json";
  const terminal = isJson ? cli.stderr : cli.stdout;
  await withClient(cli, options, async (client) => {
    const nodes = await setAvailability(cli, client, { nodes: names, availability: Availability.DRAIN });
    const hostnames = nodes.map((node) => nodeHostname({ node }) || node.id).join(", ");
    if (options.detach) {
      terminal.write(`Draining ${hostnames}\n`);
      if (isJson) printJson(cli, drainJson(nodes));
      return;
    }
    const progress = await waitForDrain(cli, client, { nodes, timeoutMs, terminal });
    const moved = progress.services.reduce((sum, service) => sum + service.moved, 0);
    terminal.write(
      `${styled(cli, terminal, "green", "Drained")} ${hostnames}: ${pluralize(moved, "task")} moved\n`,
    );
    printWarnings(cli, progress);
    if (isJson) printJson(cli, drainJson(nodes, progress));
  });
}

/** Prints the reasons why moved tasks do not run on other nodes yet. */
function printWarnings(cli: Cli, progress: DrainProgress): void {
  const label = styled(cli, cli.stderr, "yellow", "warning:");
  for (const line of blockedLines(progress)) cli.stderr.write(`${label} ${line}\n`);
}

function drainJson(nodes: readonly Node[], progress?: DrainProgress): unknown {
  const drained = nodes.map((node) => ({ id: node.id, hostname: nodeHostname({ node }) }));
  if (progress === undefined) return { nodes: drained };
  return { nodes: drained, services: progress.services.map(({ isDone: _, ...service }) => service) };
}
