import {
  type AssignedNetwork,
  Assignments,
  type DnsEntry,
  type IngressEntry,
  TaskStatus,
} from "@berth/proto";
import type { Logger } from "pino";
import { entriesOf, fieldOf, listOf, numberOf, textOf } from "../core/docker/json.js";
import type { Disk } from "../runtime/disk.js";

const FILE = "state.json";

/** Changes come in bursts; a burst is written once. */
const WRITE_DELAY_MS = 250;

/** What an agent must know after a restart beside what Docker tells it. */
export interface AgentState {
  /** The highest leader epoch seen. */
  readonly epoch: number;
  /** Addresses of all servers then: those of the command line may be gone since. */
  readonly servers: readonly string[];
  /** The last table: served until a leader sends another. */
  readonly ingress: readonly IngressEntry[];
  /** The last networks and names: they stay until a leader says otherwise. */
  readonly networks: readonly AssignedNetwork[];
  readonly names: readonly DnsEntry[];
  /** What was last said of each task: a task that has ended does not start again. */
  readonly statuses: ReadonlyMap<string, TaskStatus>;
}

const BLANK: AgentState = {
  epoch: 0,
  servers: [],
  ingress: [],
  networks: [],
  names: [],
  statuses: new Map(),
};

/** The agent's memory on disk. Losing it costs nothing that a complete set of assignments does not bring back. */
export class StateFile {
  readonly #disk: Disk;
  readonly #log: Logger;
  readonly #collect: () => AgentState;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `collect` is asked for the state whenever it is about to be written. */
  constructor({ disk, log, collect }: { disk: Disk; log: Logger; collect: () => AgentState }) {
    this.#disk = disk;
    this.#log = log;
    this.#collect = collect;
  }

  /** Soon, together with what else changes until then. */
  changed(): void {
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_DELAY_MS);
  }

  /** Now. Never rejects: an agent with a full disk works on. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#disk.write(FILE, `${JSON.stringify(toJson(this.#collect()))}\n`);
      } catch (error) {
        this.#log.error({ err: error }, "cannot write the agent's state");
      }
    });
    return this.#writing;
  }
}

/** A file that cannot be read is said and left behind: a leader knows it all. */
export async function readState(disk: Disk, log: Logger): Promise<AgentState> {
  try {
    const text = await disk.read(FILE);
    return text === undefined ? BLANK : fromJson(JSON.parse(text));
  } catch (error) {
    log.warn({ err: error, path: disk.pathOf(FILE) }, "cannot read the agent's state; starting without it");
    return BLANK;
  }
}

function toJson({ epoch, servers, ingress, networks, names, statuses }: AgentState): object {
  const tables = { ingress: [...ingress], networks: [...networks], names: [...names] };
  const table = Assignments.toJSON(Assignments.fromPartial(tables));
  const tasks = [...statuses].map(([taskId, status]) => [taskId, TaskStatus.toJSON(status)]);
  return { epoch, servers, table, tasks: Object.fromEntries(tasks) };
}

function fromJson(json: unknown): AgentState {
  const { ingress, networks, dnsEntries: names } = Assignments.fromJSON(fieldOf(json, "table"));
  return {
    epoch: numberOf(fieldOf(json, "epoch")),
    servers: listOf(fieldOf(json, "servers"))
      .map(textOf)
      .filter((server) => server !== ""),
    ingress,
    networks,
    names,
    statuses: new Map(
      entriesOf(fieldOf(json, "tasks")).map(([id, status]) => [id, TaskStatus.fromJSON(status)]),
    ),
  };
}
