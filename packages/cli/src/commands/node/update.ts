import { Availability } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { invalidOptionError, parseLabels } from "../../options/parse-options.js";
import { formatLabels, nodeAvailability, nodeHostname } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface NodeUpdateOptions extends GlobalOptions {
  readonly availability?: keyof typeof AVAILABILITIES;
  readonly labelAdd?: readonly string[];
  readonly labelRm?: readonly string[];
}

const AVAILABILITIES = {
  active: Availability.ACTIVE,
  pause: Availability.PAUSE,
  drain: Availability.DRAIN,
} as const;

/** `berth node update NODE` */
export async function updateNode(cli: Cli, options: NodeUpdateOptions, node: string): Promise<void> {
  const { availability, labelAdd = [], labelRm = [] } = options;
  if (availability === undefined && labelAdd.length === 0 && labelRm.length === 0) {
    throw invalidOptionError(
      "node update",
      "nothing to update; use --availability, --label-add or --label-rm",
    );
  }
  const request = {
    node,
    availability: availability === undefined ? Availability.UNSPECIFIED : AVAILABILITIES[availability],
    addLabels: parseLabels("--label-add", labelAdd),
    removeLabels: [...labelRm],
  };
  const updated = await withClient(cli, options, (client) =>
    client.updateNode(request, { signal: cli.signal }),
  );
  const { id = "", labels = {} } = updated.node ?? {};
  const summary: NodeSettings = {
    id,
    hostname: nodeHostname(updated),
    availability: nodeAvailability(updated),
    labels,
  };
  if (options.output === "json") {
    printJson(cli, summary);
  } else {
    cli.stdout.write(`Updated node ${summary.hostname || node}: ${settingsText(summary)}\n`);
  }
}

/** A node after the update. */
interface NodeSettings {
  readonly id: string;
  readonly hostname: string;
  readonly availability: string;
  readonly labels: Readonly<Record<string, string>>;
}

function settingsText({ availability, labels }: NodeSettings): string {
  const texts = formatLabels(labels);
  const labelText = texts.length === 0 ? "no labels" : `labels ${texts.join(", ")}`;
  return `availability ${availability}, ${labelText}`;
}
