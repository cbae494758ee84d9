import {
  type AssignedNetwork,
  Assignments,
  DataPlane,
  DEFAULT_POLICY,
  type DnsEntry,
  hasOnlyFiniteNumbers,
  type IngressEntry,
  Policy,
  TaskStatus,
  validatePolicy,
} from "@berth/proto";
import type { Logger } from "pino";
import { readEntries, readField, readList, readNumber, readString } from "../core/docker/json.js";
import type { Disk } from "../runtime/disk.js";

const FILE = "state.json";

/** Changes within this time are written together. */
const WRITE_DELAY_MS = 250;

/** The state that an agent needs after a restart, in addition to what Docker reports. */
export interface AgentState {
  /** The highest epoch of a leader that this node has joined. */
  readonly epoch: number;
  /** Addresses of all servers. The servers that the command line names may be gone by now. */
  readonly servers: readonly string[];
  /** The last tables, which stay in force until a leader sends others. */
  readonly ingress: readonly IngressEntry[];
  readonly networks: readonly AssignedNetwork[];
  readonly dnsEntries: readonly DnsEntry[];
  /** The last policy, which stays in force until a leader sends another one. */
  readonly policy: Policy;
  /** The last known capabilities of the host. They stay in force after a restart until the host is examined again. */
  readonly dataPlane: DataPlane;
  /** The last status of each task: a task that has ended does not start again. */
  readonly statuses: ReadonlyMap<string, TaskStatus>;
}

const EMPTY_STATE: AgentState = {
  epoch: 0,
  servers: [],
  ingress: [],
  networks: [],
  dnsEntries: [],
  policy: DEFAULT_POLICY,
  dataPlane: DataPlane.fromPartial({
    overlayReason: "not examined yet",
    wireguardReason: "not examined yet",
  }),
  statuses: new Map(),
};

/** Writes the agent's state to disk. If the file is lost, a complete set of assignments restores all of it. */
export class StateFile {
  readonly #disk: Disk;
  readonly #log: Logger;
  #source: (() => AgentState) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Resolves when all writes that were started are done. */
  #writing: Promise<void> = Promise.resolve();

  constructor({ disk, log }: { readonly disk: Disk; readonly log: Logger }) {
    this.#disk = disk;
    this.#log = log;
  }

  /** Sets the function that returns the state to write. Nothing is written before this call. */
  setSource(source: () => AgentState): void {
    this.#source = source;
  }

  /** Writes the state within 250 ms. Combines calls. */
  scheduleWrite(): void {
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_DELAY_MS);
  }

  /** Writes the state now. Never rejects: the agent continues with a full disk. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      if (this.#source === undefined) return;
      try {
        await this.#disk.write(FILE, `${JSON.stringify(toJson(this.#source()))}\n`);
      } catch (error) {
        this.#log.error({ err: error }, "cannot write agent state");
      }
    });
    return this.#writing;
  }
}

/** Replaces the state by that of an agent that knows nothing but the servers of a cluster. */
export function writeFirstState(disk: Disk, servers: readonly string[]): Promise<void> {
  return disk.write(FILE, `${JSON.stringify(toJson({ ...EMPTY_STATE, servers }))}\n`);
}

/** Reads the state. A file that cannot be read is logged and ignored, because the leader sends the same state again. */
export async function readState(disk: Disk, log: Logger): Promise<AgentState> {
  try {
    const text = await disk.read(FILE);
    return text === undefined ? EMPTY_STATE : fromJson(JSON.parse(text));
  } catch (error) {
    log.warn({ err: error, path: disk.pathOf(FILE) }, "cannot read agent state; starting without it");
    return EMPTY_STATE;
  }
}

function toJson(state: AgentState): object {
  const { epoch, servers, ingress, networks, dnsEntries, policy, dataPlane, statuses } = state;
  const tables = { ingress: [...ingress], networks: [...networks], dnsEntries: [...dnsEntries] };
  const table = Assignments.toJSON(Assignments.fromPartial(tables));
  const tasks = [...statuses].map(([taskId, status]) => [taskId, TaskStatus.toJSON(status)]);
  return {
    epoch,
    servers,
    table,
    policy: Policy.toJSON(policy),
    dataPlane: DataPlane.toJSON(dataPlane),
    tasks: Object.fromEntries(tasks),
  };
}

function fromJson(json: unknown): AgentState {
  const { ingress, networks, dnsEntries } = Assignments.fromJSON(readField(json, "table"));
  const dataPlane = readField(json, "dataPlane");
  const statuses = readEntries(readField(json, "tasks")).map(
    ([id, status]) => [id, TaskStatus.fromJSON(status)] as const,
  );
  if (!hasOnlyFiniteNumbers([ingress, networks, dnsEntries, statuses])) {
    throw new Error("a number of the state is invalid");
  }
  return {
    epoch: readNumber(readField(json, "epoch")),
    servers: readList(readField(json, "servers"))
      .map(readString)
      .filter((server) => server !== ""),
    ingress,
    networks,
    dnsEntries,
    policy: readPolicy(readField(json, "policy")),
    dataPlane: dataPlane === undefined ? EMPTY_STATE.dataPlane : DataPlane.fromJSON(dataPlane),
    statuses: new Map(statuses),
  };
}

/** Returns the saved policy. An invalid one is ignored, because the leader sends the policy again. */
function readPolicy(json: unknown): Policy {
  const policy = json === undefined ? DEFAULT_POLICY : Policy.fromJSON(json);
  return validatePolicy(policy).length === 0 ? policy : DEFAULT_POLICY;
}
