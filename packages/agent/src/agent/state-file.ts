import {
  type AssignedNetwork,
  Assignments,
  DataPlane,
  DEFAULT_POLICY,
  type DnsEntry,
  describeFileError,
  hasOnlyFiniteNumbers,
  type IngressEntry,
  Policy,
  TaskStatus,
  validatePolicy,
} from "@berth/proto";
import type { Logger } from "pino";
import { isHostPort } from "../config.js";
import { readEntries, readField, readList, readNumber, readString } from "../core/docker/json.js";
import type { StateDirectory } from "../runtime/state-directory.js";

const STATE_FILE = "state.json";

/** A separate file: an agent with a damaged state file still needs the servers to find its leader. */
const SERVERS_FILE = "servers";
/** Maximum number of server addresses that are read from the servers file. */
const MAX_SERVERS = 100;

/** Delay before a change is written, so that changes that follow it at once share one write. */
const WRITE_DELAY_MS = 250;

/** Delay before a failed write is retried. */
const RETRY_DELAY_MS = 5_000;

/** The state that an agent needs after a restart, in addition to what Docker reports. */
export interface AgentState {
  /** The highest epoch of a leader that this node has joined. */
  readonly epoch: number;
  /** The highest generation of the cluster that this node has joined. 0 before the first restore from a backup. */
  readonly generation: number;
  /** Addresses of all servers. The servers given on the command line may no longer exist. */
  readonly servers: readonly string[];
  /** The last tables, which stay in effect until a leader replaces them. */
  readonly ingress: readonly IngressEntry[];
  readonly networks: readonly AssignedNetwork[];
  readonly dnsEntries: readonly DnsEntry[];
  /** The last policy, which stays in effect until a leader replaces it. */
  readonly policy: Policy;
  /**
   * The last known capabilities of the host. They remain valid after a restart until the host has been examined again.
   */
  readonly dataPlane: DataPlane;
  /** The last status of each task: a task that has ended does not start again. */
  readonly statuses: ReadonlyMap<string, TaskStatus>;
}

const EMPTY_STATE: AgentState = {
  epoch: 0,
  generation: 0,
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

export interface StateFileOptions {
  readonly stateDirectory: StateDirectory;
  readonly log: Logger;
  /** Called with the reason when the state cannot be written, and with "" when it can be written again. */
  readonly onProblem?: (problem: string) => void;
}

/** Writes the agent's state to disk. If the file is lost, a complete set of assignments restores all of it. */
export class StateFile {
  readonly #options: StateFileOptions;
  #source: (() => AgentState) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #problem = "";
  /** The servers in the servers file. Undefined until it has been read. */
  #servers: string | undefined;
  /** Resolves when all pending writes have finished. */
  #writing: Promise<void> = Promise.resolve();

  constructor(options: StateFileOptions) {
    this.#options = options;
  }

  /** Sets the function that returns the state to write. Nothing is written before this call. */
  setSource(source: () => AgentState): void {
    this.#source = source;
  }

  /** Writes the state after a short delay, or with the retry of a failed write. Calls before that share the write. */
  scheduleWrite(): void {
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_DELAY_MS);
  }

  /** Writes the state immediately. Never rejects: the agent continues when the disk is full, and retries. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => {
      if (this.#source === undefined) return;
      try {
        await this.#write(this.#source());
        this.#setProblem("");
      } catch (error) {
        this.#timer ??= setTimeout(() => void this.flush(), RETRY_DELAY_MS).unref();
        this.#setProblem(describeFileError(error, this.#options.stateDirectory.pathOf(STATE_FILE)));
      }
    });
    return this.#writing;
  }

  async #write(state: AgentState): Promise<void> {
    const { stateDirectory } = this.#options;
    const servers = formatServers(state.servers);
    if (servers !== this.#servers && state.servers.length > 0) {
      await stateDirectory.write(SERVERS_FILE, servers);
      this.#servers = servers;
    }
    await stateDirectory.write(STATE_FILE, `${JSON.stringify(toJson(state))}\n`);
  }

  #setProblem(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const { log, onProblem } = this.#options;
    if (problem === "") log.info("agent state can be saved again");
    else log.error(`cannot save agent state; a restart of the agent would lose it: ${problem}`);
    onProblem?.(problem);
  }
}

/** Replaces the state with the initial state of an agent that only knows the servers of a cluster. */
export async function writeFirstState(
  stateDirectory: StateDirectory,
  servers: readonly string[],
): Promise<void> {
  await stateDirectory.write(SERVERS_FILE, formatServers(servers));
  await stateDirectory.write(STATE_FILE, `${JSON.stringify(toJson({ ...EMPTY_STATE, servers }))}\n`);
}

/**
 * Reads the state without changing any file. Without a valid state file, returns a state with only the servers; the
 * agent gets the rest from the leader.
 *
 * @throws the error of a disk that cannot be read
 */
export async function readState(
  stateDirectory: StateDirectory,
): Promise<{ readonly state: AgentState; readonly damage: string }> {
  const text = await stateDirectory.read(STATE_FILE);
  let damage = "";
  try {
    if (text !== undefined) return { state: fromJson(JSON.parse(text)), damage };
  } catch (error) {
    damage = error instanceof Error ? error.message : String(error);
  }
  return { state: { ...EMPTY_STATE, servers: await readServers(stateDirectory) }, damage };
}

/** Reads the state. Renames and logs a damaged file. */
export async function loadState(
  stateDirectory: StateDirectory,
  log: Pick<Logger, "warn">,
): Promise<AgentState> {
  const { state, damage } = await readState(stateDirectory);
  if (damage === "") return state;
  const consequence = await stateDirectory.quarantine(STATE_FILE).then(
    (path) => `was renamed to ${path}`,
    (error: unknown) => `cannot be renamed: ${describeFileError(error, STATE_FILE)}`,
  );
  const { servers } = state;
  log.warn(
    { damage, servers },
    `${stateDirectory.pathOf(STATE_FILE)} is damaged and ${consequence}; the agent restores its state from Docker's containers and the leader`,
  );
  return state;
}

async function readServers(stateDirectory: StateDirectory): Promise<readonly string[]> {
  return parseServers((await stateDirectory.read(SERVERS_FILE)) ?? "");
}

/** Parses the servers file. Ignores lines that are not addresses. */
export function parseServers(text: string): readonly string[] {
  return text.split("\n").filter(isHostPort).slice(0, MAX_SERVERS);
}

function formatServers(servers: readonly string[]): string {
  return `${servers.join("\n")}\n`;
}

function toJson(state: AgentState): object {
  const { epoch, generation, servers, ingress, networks, dnsEntries, policy, dataPlane, statuses } = state;
  const tables = { ingress: [...ingress], networks: [...networks], dnsEntries: [...dnsEntries] };
  const table = Assignments.toJSON(Assignments.fromPartial(tables));
  const tasks = [...statuses].map(([taskId, status]) => [taskId, TaskStatus.toJSON(status)]);
  return {
    epoch,
    generation,
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
    throw new Error("the state contains an invalid number");
  }
  return {
    epoch: readNumber(readField(json, "epoch")),
    // Files of earlier releases lack it.
    generation: readNumber(readField(json, "generation") ?? 0),
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

/** Returns the saved policy. Ignores an invalid policy, because the leader sends the policy again. */
function readPolicy(json: unknown): Policy {
  const policy = json === undefined ? DEFAULT_POLICY : Policy.fromJSON(json);
  return validatePolicy(policy).length === 0 ? policy : DEFAULT_POLICY;
}
