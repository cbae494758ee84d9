import { arch, cpus, totalmem } from "node:os";
import {
  BERTH_VERSION,
  DataPlane,
  type HostListener,
  type NodeDescription,
  PROTOCOL_VERSIONS,
} from "@berth/proto";
import type { EngineInfo } from "../engine/engine.js";
import { limitDescription } from "./limit-description.js";

/** Maximum number of problems in a node description, which the leader stores as one record. */
const MAX_PROBLEMS = 50;
/** Architecture names in images, by the names that the kernel and Node.js use. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  x64: "amd64",
  aarch64: "arm64",
  armv7l: "arm",
  armv6l: "arm",
};
const NANO_CPUS_PER_CPU = 1_000_000_000;

/** The properties of this host that do not change while the agent runs. */
export interface NodeIdentity {
  readonly hostname: string;
  /** The address at which the other hosts reach the published ports of this host's containers. */
  readonly address: string;
  /** The number of processes and threads that the host allows. 0 if it is not known. */
  readonly pids: number;
  /** Countable resources that the administrator declared, by kind. */
  readonly generic: Readonly<Record<string, number>>;
}

/** The state of this host at one moment. */
export interface ConditionSnapshot {
  /** Undefined while dockerd is unavailable, and until its volumes are known. */
  readonly engine: EngineInfo | undefined;
  /** Problems of this host, as messages for the user. */
  readonly problems: readonly string[];
  /** Ports that programs other than berth's tasks listen on, lowest port first. */
  readonly listeners: readonly HostListener[];
  /** Docker's named volumes, sorted. */
  readonly volumes: readonly string[];
  readonly dataPlane: DataPlane;
  /** Port on which the agent serves images. 0 while it does not. */
  readonly imagePort: number;
}

/** Collects the state of this host from the parts of the agent, and reports a snapshot after each change. */
export class HostCondition {
  readonly #onChange: (snapshot: ConditionSnapshot) => void;
  #engine: EngineInfo | undefined;
  #engineProblem = "";
  #publishingProblem = "";
  #swapProblem = "";
  #diskProblem = "";
  #ingressProblems: readonly string[] = [];
  #networkProblems: readonly string[] = [];
  #listeners: readonly HostListener[] = [];
  #volumes: readonly string[] = [];
  #areVolumesKnown = false;
  #imagePort = 0;
  #dataPlane = DataPlane.fromPartial({ overlayReason: "not known yet", wireguardReason: "not known yet" });
  /** The last reported snapshot, as JSON. */
  #reported = "";

  constructor(onChange: (snapshot: ConditionSnapshot) => void) {
    this.#onChange = onChange;
  }

  get snapshot(): ConditionSnapshot {
    return {
      // The leader must not place tasks by their volumes before it knows this host's volumes.
      engine: this.#areVolumesKnown ? this.#engine : undefined,
      problems: limitProblems([
        ...[this.#engineProblem, this.#publishingProblem, this.#swapProblem, this.#diskProblem].filter(
          (problem) => problem !== "",
        ),
        ...this.#ingressProblems,
        ...this.#networkProblems,
      ]),
      listeners: this.#listeners,
      volumes: this.#volumes,
      dataPlane: this.#dataPlane,
      imagePort: this.#imagePort,
    };
  }

  engineConnected(info: EngineInfo): void {
    if (this.#engine === undefined) this.#areVolumesKnown = false;
    this.#engine = info;
    this.#engineProblem = "";
    // Docker restores its firewall rules when it starts.
    this.#publishingProblem = "";
    this.#reportChange();
  }

  engineDisconnected(reason: string, since: Date): void {
    this.#engine = undefined;
    this.#engineProblem = `Docker has not responded since ${since.toISOString()}: ${reason}`;
    this.#reportChange();
  }

  /** Sets why Docker cannot publish ports. Empty if it can. */
  setPublishingProblem(problem: string): void {
    this.#publishingProblem = problem;
    this.#reportChange();
  }

  /** Sets why secrets may be written to disk. Empty if they cannot. */
  setSwapProblem(problem: string): void {
    this.#swapProblem = problem;
    this.#reportChange();
  }

  /** Sets why the agent cannot store its state. Empty if it can. */
  setDiskProblem(problem: string): void {
    this.#diskProblem = problem;
    this.#reportChange();
  }

  setIngressProblems(problems: readonly string[]): void {
    this.#ingressProblems = problems;
    this.#reportChange();
  }

  setNetworkProblems(problems: readonly string[]): void {
    this.#networkProblems = problems;
    this.#reportChange();
  }

  setForeignListeners(listeners: readonly HostListener[]): void {
    this.#listeners = listeners;
    this.#reportChange();
  }

  setVolumes(volumes: readonly string[]): void {
    this.#volumes = volumes;
    this.#areVolumesKnown = true;
    this.#reportChange();
  }

  /** Keeps the last known volumes when dockerd does not list them, so that the host becomes ready nevertheless. */
  setVolumesUnknown(): void {
    if (this.#engine !== undefined) this.setVolumes(this.#volumes);
  }

  setImagePort(port: number): void {
    this.#imagePort = port;
    this.#reportChange();
  }

  /** The platform of this host, such as "linux/amd64". */
  get platform(): string {
    const { os = process.platform, architecture = arch() } = this.#engine ?? {};
    return `${os}/${ARCHITECTURES[architecture] ?? architecture}`;
  }

  /** Updates these fields of the data plane's state. Keeps the others. */
  updateDataPlane(fields: Partial<DataPlane>): void {
    this.#dataPlane = { ...this.#dataPlane, ...fields };
    this.#reportChange();
  }

  #reportChange(): void {
    const { snapshot } = this;
    const json = JSON.stringify(snapshot);
    if (json === this.#reported) return;
    this.#reported = json;
    this.#onChange(snapshot);
  }
}

function limitProblems(problems: readonly string[]): readonly string[] {
  const omittedCount = problems.length - MAX_PROBLEMS;
  return omittedCount > 0 ? [...problems.slice(0, MAX_PROBLEMS), `and ${omittedCount} more`] : problems;
}

/**
 * Returns the description of this host for the leader. While dockerd is unavailable, the node is not ready, and its
 * resources are those that the operating system reports.
 */
export function describeNode(identity: NodeIdentity, condition: ConditionSnapshot): NodeDescription {
  const { engine } = condition;
  return limitDescription({
    ...identity,
    os: engine?.os ?? process.platform,
    architecture: engine?.architecture ?? (arch() === "x64" ? "x86_64" : arch()),
    nanoCpus: (engine?.cpus ?? cpus().length) * NANO_CPUS_PER_CPU,
    memoryBytes: engine?.memoryBytes ?? totalmem(),
    engineVersion: engine?.version ?? "",
    engineApiVersion: engine?.apiVersion ?? "",
    agentVersion: BERTH_VERSION,
    protocolVersion: PROTOCOL_VERSIONS.newest,
    engineLabels: { ...engine?.labels },
    engineReady: engine !== undefined,
    problems: [...condition.problems],
    generic: { ...identity.generic },
    listeners: [...condition.listeners],
    volumes: [...condition.volumes],
    dataPlane: { ...condition.dataPlane },
    imagePort: condition.imagePort,
  });
}
