import type { DataPlane, NodeSummary } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { formatBytes, formatCpus } from "../../output/human.js";
import {
  formatLabels,
  networkCapabilities,
  nodeAvailability,
  nodeHostname,
  nodeJson,
  nodeProblems,
  nodeStatus,
} from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import { capitalize } from "../../output/state-names.js";
import { formatFields } from "../../output/table.js";
import type { Cli } from "../../process/cli.js";
import type { InspectOptions } from "../service/inspect.js";

/** `berth node inspect NODE…` */
export async function inspectNodes(
  cli: Cli,
  options: InspectOptions,
  nodes: readonly string[],
): Promise<void> {
  const details = await withClient(cli, options, (client) =>
    Promise.all(nodes.map((node) => client.getNode({ node }, { signal: cli.signal }))),
  );
  const summaries = details.map(({ node }) => node).filter((node) => node !== undefined);
  const isPretty = options.pretty === true && options.output !== "json";
  if (isPretty) {
    cli.stdout.write(summaries.map(nodeDetailsText).join("\n"));
  } else {
    printJson(cli, summaries.map(nodeJson));
  }
}

function nodeDetailsText(summary: NodeSummary): string {
  const { node, tasks, reserved } = summary;
  const description = node?.description;
  return formatFields([
    ["ID", node?.id ?? ""],
    ["Hostname", nodeHostname(summary)],
    ["Address", description?.address ?? ""],
    ["Status", statusText(summary)],
    ["Availability", capitalize(nodeAvailability(summary))],
    ["Membership", node?.awaitsApproval ? "Pending (run: berth node accept)" : "Accepted"],
    ["Labels", formatLabels(node?.labels ?? {})],
    ["Platform", `${description?.os ?? ""}/${description?.architecture ?? ""}`],
    ["Engine", description?.engineVersion ?? ""],
    ["Agent", description?.agentVersion ?? ""],
    ["Ingress", ingressText(description?.dataPlane)],
    ["CPUs", `${formatCpus(description?.nanoCpus ?? 0)}, ${formatCpus(reserved?.nanoCpus ?? 0)} reserved`],
    [
      "Memory",
      `${formatBytes(description?.memoryBytes ?? 0)}, ${formatBytes(reserved?.memoryBytes ?? 0)} reserved`,
    ],
    ["Tasks", String(tasks)],
    ["Networks", networkCapabilities(description?.dataPlane)],
    ["Problems", nodeProblems(summary)],
  ]);
}

function statusText(summary: NodeSummary): string {
  const status = capitalize(nodeStatus(summary));
  const message = summary.node?.stateMessage;
  return message ? `${status} (${message})` : status;
}

/** Returns what balances connections, the kernel or the user-space proxy, and why. Empty if it is unknown. */
function ingressText(dataPlane: DataPlane | undefined): string {
  if (dataPlane === undefined || dataPlane.kernelReason === "") return "";
  return `${dataPlane.kernel ? "kernel" : "user space"} (${dataPlane.kernelReason})`;
}
