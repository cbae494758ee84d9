import { join } from "node:path";
import { Assignments, type IngressEntry, TaskStatus } from "@berth/proto";
import type { Logger } from "pino";
import { entriesOf, fieldOf, numberOf } from "../core/json.js";
import { atomicWrite } from "./atomic-write.js";
import { readIfThere } from "./node-id.js";

/** Changes come in bursts; a burst is written once. */
const WRITE_DELAY_MS = 250;

/** What an agent must know after a restart beside what Docker tells it. */
export interface AgentState {
  /** The highest leader epoch seen. */
  readonly epoch: number;
  /** The last table: served until a leader sends another. */
  readonly ingress: readonly IngressEntry[];
  /** What was last said of each task: a task that has ended does not start again. */
  readonly statuses: ReadonlyMap<string, TaskStatus>;
}

const BLANK: AgentState = { epoch: 0, ingress: [], statuses: new Map() };

/** The agent's memory on disk. Losing it costs nothing that a complete set of assignments does not bring back. */
export class StateFile {
  readonly #path: string;
  readonly #log: Logger;
  readonly #collect: () => AgentState;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `collect` is asked for the state whenever it is about to be written. */
  constructor({ dataDir, log, collect }: { dataDir: string; log: Logger; collect: () => AgentState }) {
    this.#path = join(dataDir, "state.json");
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
        await atomicWrite(this.#path, `${JSON.stringify(toJson(this.#collect()))}\n`);
      } catch (error) {
        this.#log.error({ err: error }, "cannot write the agent's state");
      }
    });
    return this.#writing;
  }
}

/** A file that cannot be read is said and left behind: a leader knows it all. */
export async function readState(dataDir: string, log: Logger): Promise<AgentState> {
  const path = join(dataDir, "state.json");
  try {
    const text = await readIfThere(path);
    return text === undefined ? BLANK : fromJson(JSON.parse(text));
  } catch (error) {
    log.warn({ err: error, path }, "cannot read the agent's state; starting without it");
    return BLANK;
  }
}

function toJson({ epoch, ingress, statuses }: AgentState): object {
  const table = Assignments.toJSON(Assignments.fromPartial({ ingress: [...ingress] }));
  const tasks = [...statuses].map(([taskId, status]) => [taskId, TaskStatus.toJSON(status)]);
  return { epoch, table, tasks: Object.fromEntries(tasks) };
}

function fromJson(json: unknown): AgentState {
  return {
    epoch: numberOf(fieldOf(json, "epoch")),
    ingress: Assignments.fromJSON(fieldOf(json, "table")).ingress,
    statuses: new Map(
      entriesOf(fieldOf(json, "tasks")).map(([id, status]) => [id, TaskStatus.fromJSON(status)]),
    ),
  };
}
