import { Availability } from "@berth/proto";
import type { Cli, GlobalOptions } from "../../cli.js";
import { withClient } from "../../client.js";
import { badOption, labelsOf } from "../../options/parse-options.js";
import { availabilityOf, hostname } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";

export interface NodeUpdateOptions extends GlobalOptions {
  readonly availability?: string;
  readonly labelAdd?: readonly string[];
  readonly labelRm?: readonly string[];
}

const AVAILABILITIES = new Map<string, Availability>([
  ["active", Availability.ACTIVE],
  ["pause", Availability.PAUSE],
  ["drain", Availability.DRAIN],
]);

/** `berth node update NODE` */
export async function updateNode(cli: Cli, options: NodeUpdateOptions, node: string): Promise<void> {
  const { availability, labelAdd = [], labelRm = [] } = options;
  if (availability === undefined && labelAdd.length === 0 && labelRm.length === 0) {
    throw badOption("node update", "nothing to change: give --availability, --label-add or --label-rm");
  }
  const request = {
    node,
    availability: availability === undefined ? Availability.UNSPECIFIED : availabilityFrom(availability),
    addLabels: labelsOf(labelAdd),
    removeLabels: [...labelRm],
  };
  const updated = await withClient(cli, options, (client) =>
    client.updateNode(request, { signal: cli.signal }),
  );
  const { id = "", labels = {} } = updated.node ?? {};
  const facts = { id, hostname: hostname(updated), availability: availabilityOf(updated), labels };
  if (options.output === "json") printJson(cli, facts);
  else cli.stdout.write(`${facts.hostname || node} is updated: ${facts.availability}\n`);
}

function availabilityFrom(text: string): Availability {
  const availability = AVAILABILITIES.get(text);
  if (availability !== undefined) return availability;
  throw badOption("--availability", `${JSON.stringify(text)} is not possible: use active, pause or drain`);
}
