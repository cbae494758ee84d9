import { Availability, DataPlane, type Node, NodeState, type NodeSummary } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import type { Listing } from "./print.js";
import { shortId } from "./services.js";
import {
  AVAILABILITY_NAMES,
  availabilityName,
  capitalize,
  NODE_STATE_NAMES,
  nodeStateName,
} from "./state-names.js";

/** Values of the filter `membership`, as in Docker. A pending node waits for `berth node accept`. */
const MEMBERSHIPS: readonly string[] = ["accepted", "pending"];

/**
 * Describes the output of `berth node ls`: the columns of `docker node ls`, with the address and the number of tasks instead
 * of the manager status, and JSON.
 */
export function nodeListing(rows: readonly NodeSummary[]): Listing<NodeSummary> {
  return {
    rows: rows.toSorted((a, b) => nodeHostname(a).localeCompare(nodeHostname(b), "en", { numeric: true })),
    id: ({ node }) => node?.id ?? "",
    json: nodeJson,
    columns: [
      { title: "ID", cell: ({ node }) => shortId(node?.id ?? "") },
      { title: "HOSTNAME", cell: nodeHostname },
      { title: "STATUS", cell: (row) => capitalize(nodeStatus(row)) + engineNote(row) },
      { title: "AVAILABILITY", cell: (row) => capitalize(nodeAvailability(row)) },
      { title: "ADDRESS", cell: ({ node }) => node?.description?.address ?? "" },
      { title: "TASKS", cell: ({ tasks }) => String(tasks) },
      { title: "ENGINE VERSION", cell: ({ node }) => node?.description?.engineVersion ?? "" },
      { title: "BERTH VERSION", cell: ({ node }) => node?.description?.agentVersion ?? "" },
    ],
  };
}

export const NODE_FILTERS: FilterTable<NodeSummary> = {
  id: { matches: ({ node }, value) => (node?.id ?? "").startsWith(value) },
  name: { matches: (row, value) => nodeHostname(row).includes(value) },
  label: { matches: ({ node }, value) => hasLabel(node?.description?.engineLabels ?? {}, value) },
  "node.label": { matches: ({ node }, value) => hasLabel(node?.labels ?? {}, value) },
  membership: { values: MEMBERSHIPS, matches: (row, value) => nodeMembership(row) === value },
  availability: { values: AVAILABILITY_NAMES, matches: (row, value) => nodeAvailability(row) === value },
  status: { values: NODE_STATE_NAMES, matches: (row, value) => nodeStatus(row) === value },
};

export function nodeJson(summary: NodeSummary): unknown {
  const { node, tasks, reserved } = summary;
  const description = node?.description;
  return {
    id: node?.id ?? "",
    hostname: description?.hostname ?? "",
    address: description?.address ?? "",
    status: nodeStatus({ node }),
    statusMessage: node?.stateMessage ?? "",
    statusSinceMs: node?.stateSinceMs ?? 0,
    availability: nodeAvailability({ node }),
    membership: nodeMembership({ node }),
    labels: node?.labels ?? {},
    engineLabels: description?.engineLabels ?? {},
    engineReady: description?.engineReady ?? false,
    problems: nodeProblems(summary),
    dataPlane: DataPlane.fromPartial(description?.dataPlane ?? {}),
    engineVersion: description?.engineVersion ?? "",
    agentVersion: description?.agentVersion ?? "",
    os: description?.os ?? "",
    architecture: description?.architecture ?? "",
    nanoCpus: description?.nanoCpus ?? 0,
    memoryBytes: description?.memoryBytes ?? 0,
    tasks,
    reservedNanoCpus: reserved?.nanoCpus ?? 0,
    reservedMemoryBytes: reserved?.memoryBytes ?? 0,
    createdAtMs: node?.createdAtMs ?? 0,
  };
}

/** Returns the problems of a node: first those that its agent reports, then those that the leader has found. */
export const nodeProblems = ({ node, problems }: NodeSummary): readonly string[] => [
  ...(node?.description?.problems ?? []),
  ...problems,
];

/** Returns the network features of a host, one per line. Empty if the agent is too old to report them. */
export function networkCapabilities(plane: DataPlane | undefined): readonly string[] {
  if (plane === undefined) return [];
  const withReason = (reason: string): string => (reason === "" ? "" : ` (${reason})`);
  if (!plane.overlay) return [`no overlay networks${withReason(plane.overlayReason)}`];
  const mtu = plane.overlayMtu === 0 ? "" : `, MTU ${plane.overlayMtu}`;
  const canEncrypt = plane.wireguardPublicKey !== "";
  return [`overlay${mtu}`, canEncrypt ? "encryption" : `no encryption${withReason(plane.wireguardReason)}`];
}

interface HasNode {
  readonly node?: Node | undefined;
}

export const nodeHostname = ({ node }: HasNode): string => node?.description?.hostname ?? "";
export const nodeStatus = ({ node }: HasNode): string => nodeStateName(node?.state ?? NodeState.UNSPECIFIED);
export const nodeAvailability = ({ node }: HasNode): string =>
  availabilityName(node?.availability ?? Availability.UNSPECIFIED);

export const nodeMembership = ({ node }: HasNode): string => (node?.awaitsApproval ? "pending" : "accepted");

/** Returns `zone=a` for each label. */
export function formatLabels(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}

function engineNote({ node }: HasNode): string {
  if (node?.awaitsApproval) return " (awaiting approval)";
  if (node?.state !== NodeState.READY) return "";
  if (node.agentUnreachable) return " (agent not responding)";
  if (node.stateMessage !== "") return " (suspect)";
  return node.description?.engineReady === false ? " (Docker not responding)" : "";
}
