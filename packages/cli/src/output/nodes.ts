import { Availability, DataPlane, type Node, NodeState, type NodeSummary } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import type { Listing } from "./print.js";
import { shortId } from "./services.js";
import { availabilityName, capitalize, nodeStateName } from "./state-names.js";

/** The columns of `docker node ls`, with the address and the tasks instead of the manager's. */
export function nodeListing(rows: readonly NodeSummary[]): Listing<NodeSummary> {
  return {
    rows: rows.toSorted((a, b) => hostname(a).localeCompare(hostname(b), "en", { numeric: true })),
    id: ({ node }) => node?.id ?? "",
    json: nodeJson,
    columns: [
      { title: "ID", cell: ({ node }) => shortId(node?.id ?? "") },
      { title: "HOSTNAME", cell: hostname },
      { title: "STATUS", cell: (row) => capitalize(stateName(row)) + engineNote(row) },
      { title: "AVAILABILITY", cell: (row) => capitalize(availabilityOf(row)) },
      { title: "ADDRESS", cell: ({ node }) => node?.description?.address ?? "" },
      { title: "TASKS", cell: ({ tasks }) => String(tasks) },
      { title: "ENGINE VERSION", cell: ({ node }) => node?.description?.engineVersion ?? "" },
    ],
  };
}

export const NODE_FILTERS: FilterTable<NodeSummary> = {
  id: ({ node }, value) => (node?.id ?? "").startsWith(value),
  name: (row, value) => hostname(row).includes(value),
  label: ({ node }, value) => hasLabel(node?.description?.engineLabels ?? {}, value),
  "node.label": ({ node }, value) => hasLabel(node?.labels ?? {}, value),
  availability: (row, value) => availabilityOf(row) === value,
  status: (row, value) => stateName(row) === value,
};

export function nodeJson({ node, tasks, reserved }: NodeSummary): unknown {
  const description = node?.description;
  return {
    id: node?.id ?? "",
    hostname: description?.hostname ?? "",
    address: description?.address ?? "",
    status: stateName({ node }),
    statusMessage: node?.stateMessage ?? "",
    statusSinceMs: node?.stateSinceMs ?? 0,
    availability: availabilityOf({ node }),
    labels: node?.labels ?? {},
    engineLabels: description?.engineLabels ?? {},
    engineReady: description?.engineReady ?? false,
    problems: description?.problems ?? [],
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

/** Which networks a host can have, a line each, for a person; empty for an agent of before there were any. */
export function networkCapabilities(plane: DataPlane | undefined): readonly string[] {
  if (plane === undefined) return [];
  const because = (reason: string): string => (reason === "" ? "" : ` (${reason})`);
  if (!plane.overlay) return [`none that span hosts${because(plane.overlayReason)}`];
  const mtu = plane.overlayMtu === 0 ? "" : `, MTU ${plane.overlayMtu}`;
  const isEncrypting = plane.wireguardPublicKey !== "";
  return [
    `can span hosts${mtu}`,
    isEncrypting ? "can be encrypted" : `cannot be encrypted${because(plane.wireguardReason)}`,
  ];
}

interface HasNode {
  readonly node?: Node | undefined;
}

export const hostname = ({ node }: HasNode): string => node?.description?.hostname ?? "";
export const stateName = ({ node }: HasNode): string => nodeStateName(node?.state ?? NodeState.UNSPECIFIED);
export const availabilityOf = ({ node }: HasNode): string =>
  availabilityName(node?.availability ?? Availability.UNSPECIFIED);

/** `zone=a` for each label. */
export function labelTexts(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}

function engineNote({ node }: HasNode): string {
  if (node?.state !== NodeState.READY) return "";
  if (node.agentUnreachable) return " (agent not answering)";
  if (node.stateMessage !== "") return " (silent)";
  return node.description?.engineReady === false ? " (Docker not answering)" : "";
}
