import { arch, cpus, totalmem } from "node:os";
import { BERTH_VERSION, type DataPlane, type HostListener, type NodeDescription } from "@berth/proto";
import type { EngineInfo } from "../engine/engine.js";

const NANO = 1_000_000_000;

export interface NodeIdentity {
  readonly hostname: string;
  /** Where the other hosts reach the published ports of this host's containers. */
  readonly address: string;
  /** Processes and threads that it can have. 0: not known. */
  readonly pids: number;
  /** Countable things that its administrator declared. */
  readonly generic: Readonly<Record<string, number>>;
}

/** What is known of this host and what is wrong with it. */
export interface ConditionSnapshot {
  /** Undefined while Docker is away. */
  readonly engine: EngineInfo | undefined;
  readonly problems: readonly string[];
  /** Ports that programs other than berth's tasks listen on, in a fixed order. */
  readonly listeners: readonly HostListener[];
  /** Named volumes of its Docker, sorted. */
  readonly volumes: readonly string[];
  readonly dataPlane: DataPlane;
}

/** What the leader is told of this host. While Docker is away: as the operating system sees it, and not ready. */
export function describeNode(identity: NodeIdentity, condition: ConditionSnapshot): NodeDescription {
  const { engine } = condition;
  return {
    ...identity,
    os: engine?.os ?? process.platform,
    architecture: engine?.architecture ?? (arch() === "x64" ? "x86_64" : arch()),
    nanoCpus: (engine?.cpus ?? cpus().length) * NANO,
    memoryBytes: engine?.memoryBytes ?? totalmem(),
    engineVersion: engine?.version ?? "",
    engineApiVersion: engine?.apiVersion ?? "",
    agentVersion: BERTH_VERSION,
    engineLabels: { ...engine?.labels },
    engineReady: engine !== undefined,
    problems: [...condition.problems],
    generic: { ...identity.generic },
    listeners: [...condition.listeners],
    volumes: [...condition.volumes],
    dataPlane: { ...condition.dataPlane },
  };
}
