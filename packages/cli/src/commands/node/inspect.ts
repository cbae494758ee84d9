import type { NodeSummary } from "@berth/proto";
import type { Cli } from "../../cli.js";
import { withClient } from "../../client.js";
import { humanBytes, humanCpus } from "../../output/human.js";
import { availabilityOf, hostname, nodeJson, stateWord } from "../../output/nodes.js";
import { printJson } from "../../output/print.js";
import type { InspectOptions } from "../service/inspect.js";

/** `berth node inspect NODE…` */
export async function inspectNodes(
  cli: Cli,
  options: InspectOptions,
  nodes: readonly string[],
): Promise<void> {
  const found = await withClient(cli, options, (client) =>
    Promise.all(nodes.map((node) => client.getNode({ node }, { signal: cli.signal }))),
  );
  const summaries = found.map(({ node }) => node).filter((node) => node !== undefined);
  const isPretty = options.pretty === true && options.output !== "json";
  if (isPretty) cli.stdout.write(summaries.map(prettyNode).join("\n"));
  else printJson(cli, summaries.map(nodeJson));
}

function prettyNode(summary: NodeSummary): string {
  const { node, tasks, reserved } = summary;
  const description = node?.description;
  const labels = Object.entries(node?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const facts: readonly (readonly [string, string])[] = [
    ["ID", node?.id ?? ""],
    ["Hostname", hostname(summary)],
    ["Address", description?.address ?? ""],
    ["Status", `${stateWord(summary)}${node?.stateMessage ? ` (${node.stateMessage})` : ""}`],
    ["Availability", availabilityOf(summary)],
    ["Labels", labels.join(", ")],
    ["Platform", `${description?.os ?? ""}/${description?.architecture ?? ""}`],
    ["Engine", description?.engineVersion ?? ""],
    ["Agent", description?.agentVersion ?? ""],
    ["CPUs", `${humanCpus(description?.nanoCpus ?? 0)}, ${humanCpus(reserved?.nanoCpus ?? 0)} reserved`],
    [
      "Memory",
      `${humanBytes(description?.memoryBytes ?? 0)}, ${humanBytes(reserved?.memoryBytes ?? 0)} reserved`,
    ],
    ["Tasks", String(tasks)],
  ];
  return facts
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${`${name}:`.padEnd(14)} ${value}\n`)
    .join("");
}
