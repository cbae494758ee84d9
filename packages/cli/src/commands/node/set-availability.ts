import { Availability, type Node } from "@berth/proto";
import { type ControlClient, withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { nodeAvailability, nodeHostname } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

const AVAILABILITY_TEXT: Readonly<Record<Availability, string>> = {
  [Availability.UNSPECIFIED]: "unchanged",
  [Availability.ACTIVE]: "active",
  [Availability.PAUSE]: "paused: no new tasks are assigned to it",
  [Availability.DRAIN]: "draining: its tasks move to other nodes",
};

/** `berth node activate NODE…` */
export async function activateNodes(
  cli: Cli,
  options: GlobalOptions,
  nodes: readonly string[],
): Promise<void> {
  await changeAvailability(cli, options, { nodes, availability: Availability.ACTIVE });
}

/** `berth node pause NODE…` */
export async function pauseNodes(cli: Cli, options: GlobalOptions, nodes: readonly string[]): Promise<void> {
  await changeAvailability(cli, options, { nodes, availability: Availability.PAUSE });
}

export interface AvailabilityChange {
  readonly nodes: readonly string[];
  readonly availability: Availability;
}

/** Sets the availability of nodes one by one and returns them. Stops at the first error. */
export async function setAvailability(
  cli: Cli,
  client: ControlClient,
  { nodes, availability }: AvailabilityChange,
): Promise<readonly Node[]> {
  const updated: Node[] = [];
  for (const name of nodes) {
    const request = { node: name, availability, addLabels: {}, removeLabels: [] };
    const { node } = await retryDuringElection(cli, () => client.updateNode(request, { signal: cli.signal }));
    if (node !== undefined) updated.push(node);
  }
  return updated;
}

async function changeAvailability(
  cli: Cli,
  options: GlobalOptions,
  change: AvailabilityChange,
): Promise<void> {
  const nodes = await withClient(cli, options, (client) => setAvailability(cli, client, change));
  const summaries = nodes.map((node) => ({
    id: node.id,
    hostname: nodeHostname({ node }),
    availability: nodeAvailability({ node }),
  }));
  if (options.output === "json") {
    printJson(cli, summaries);
    return;
  }
  const text = AVAILABILITY_TEXT[change.availability];
  for (const { hostname, id } of summaries) cli.stdout.write(`Node ${hostname || id} is ${text}\n`);
}
