import {
  type JsonObject,
  readBoolean,
  readEnum,
  readNumber,
  readText,
  readTextMap,
  readTexts,
} from "../json.js";

const NODE_STATES = ["ready", "down"] as const;
const AVAILABILITIES = ["active", "pause", "drain"] as const;

/** A Docker host. */
export interface Node {
  readonly id: string;
  readonly hostname: string;
  readonly address: string;
  /** Undefined for a state that this release of the web UI does not know. */
  readonly state: (typeof NODE_STATES)[number] | undefined;
  /** Why the node is in this state. */
  readonly message: string;
  readonly sinceMs: number;
  readonly availability: (typeof AVAILABILITIES)[number];
  /** The host answers, but its agent does not. */
  readonly agentUnreachable: boolean;
  /** The node has been silent, and the leader asks other nodes about it. It gets no new connections. */
  readonly isSuspect: boolean;
  readonly awaitsApproval: boolean;
  readonly hostsServer: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly os: string;
  readonly architecture: string;
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  /** Resources that tasks have reserved. */
  readonly reservedNanoCpus: number;
  readonly reservedMemoryBytes: number;
  readonly engineVersion: string;
  readonly agentVersion: string;
  /** Number of tasks that should run on the node. */
  readonly tasks: number;
  readonly problems: readonly string[];
  /** Whether the kernel balances connections to published ports, instead of a process. */
  readonly hasKernelPath: boolean;
}

/** Reads a node from its JSON form. Returns undefined without an ID. */
export function decodeNode(json: JsonObject): Node | undefined {
  const id = readText(json, "id");
  if (id === "") return undefined;
  return {
    id,
    hostname: readText(json, "hostname") || id,
    address: readText(json, "address"),
    state: readEnum(json, "state", { prefix: "NODE_STATE_", values: NODE_STATES, fallback: undefined }),
    message: readText(json, "stateMessage"),
    sinceMs: readNumber(json, "stateSinceMs"),
    availability: readEnum(json, "availability", {
      prefix: "AVAILABILITY_",
      values: AVAILABILITIES,
      fallback: "active" as const,
    }),
    agentUnreachable: readBoolean(json, "agentUnreachable"),
    isSuspect: readBoolean(json, "isSuspect"),
    awaitsApproval: readBoolean(json, "awaitsApproval"),
    hostsServer: readBoolean(json, "hostsServer"),
    labels: readTextMap(json, "labels"),
    os: readText(json, "os"),
    architecture: readText(json, "architecture"),
    nanoCpus: readNumber(json, "nanoCpus"),
    memoryBytes: readNumber(json, "memoryBytes"),
    reservedNanoCpus: readNumber(json, "reservedNanoCpus"),
    reservedMemoryBytes: readNumber(json, "reservedMemoryBytes"),
    engineVersion: readText(json, "engineVersion"),
    agentVersion: readText(json, "agentVersion"),
    tasks: readNumber(json, "tasks"),
    problems: readTexts(json, "problems"),
    hasKernelPath: readBoolean(json, "hasKernelPath"),
  };
}

/** How the web UI shows a node. */
export type NodeStatus =
  | "ready"
  | "suspect"
  | "agent-unreachable"
  | "down"
  | "drain"
  | "pause"
  | "joining"
  | "unknown";

/** Returns the status of a node. A failure has precedence over what an administrator has set. */
export function nodeStatus(node: Node, isCurrent: boolean): NodeStatus {
  if (!isCurrent) return "unknown";
  if (node.awaitsApproval) return "joining";
  if (node.state === "down") return "down";
  if (node.state === undefined) return "unknown";
  if (node.isSuspect) return "suspect";
  if (node.agentUnreachable) return "agent-unreachable";
  return node.availability === "active" ? "ready" : node.availability;
}

const STATUS_TEXTS: Readonly<Record<NodeStatus, string>> = {
  ready: "ready",
  suspect: "suspect",
  "agent-unreachable": "agent unreachable",
  down: "down",
  drain: "drain",
  pause: "paused",
  joining: "waiting for approval",
  unknown: "not known",
};

export function nodeStatusText(status: NodeStatus): string {
  return STATUS_TEXTS[status];
}

const collator = new Intl.Collator("en", { numeric: true });

/** Orders nodes by hostname, with numbers by value: the order never depends on their state. */
export function compareNodes(a: Node, b: Node): number {
  return collator.compare(a.hostname, b.hostname) || collator.compare(a.id, b.id);
}
