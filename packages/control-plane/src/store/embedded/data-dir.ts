import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import { createDirectory } from "@berth/proto/create-directory";
import { argumentsOf, identityOf, isRunning, type ProcessIdentity } from "./process-identity.js";

/** Name of the claim file. The file is next to etcd's data, so removing the data also removes the claim. */
const CLAIM_FILE = "berth-server.json";

/** Time for etcd to stop after SIGTERM. Then the server kills etcd, which is safe for its data. */
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 20;
const MAX_PORT = 65_535;

const NO_PROC_MESSAGE =
  "embedded etcd requires Linux with /proc mounted; use an external etcd with --etcd URL";

/** The ports of one etcd member. */
export interface Ports {
  readonly client: number;
  readonly peer: number;
}

/** The content of the claim file. */
interface Claim {
  /** The server that uses the directory. Undefined after an orderly stop. */
  readonly owner?: ProcessIdentity;
  readonly etcd?: ProcessIdentity;
  readonly ports?: Ports;
  /** Addresses of the cluster's members. Undefined if other servers cannot join the cluster. */
  readonly members?: readonly string[];
  /** Whether the member may still be a learner, without a vote. */
  readonly isJoining?: boolean;
  /** Whether etcd has served requests with this directory, so that its data must be present. */
  readonly hasServed?: boolean;
}

/** The etcd settings that a data directory records. */
export interface EtcdRecord {
  readonly ports: Ports;
  /** Addresses of the cluster's members. Empty if other servers cannot join the cluster. */
  readonly members: readonly string[];
}

/**
 * The data directory of an embedded etcd, claimed by this process.
 *
 * The claim survives a crash of the server. The next server finds the orphaned etcd and its ports in it.
 */
export class DataDir {
  readonly path: string;
  readonly #file: string;
  #claim: Claim;

  private constructor(path: string, claim: Claim) {
    this.path = path;
    this.#file = join(path, CLAIM_FILE);
    this.#claim = claim;
  }

  /**
   * Creates the directory if necessary, stops an etcd that a dead server left behind, and claims the directory.
   *
   * @throws BerthError BERTH_ETCD_DATA_LOCKED while another server or etcd uses the directory; BERTH_DISK_FAILED;
   *   BERTH_UNSUPPORTED without /proc
   */
  static async claim(directory: string): Promise<DataDir> {
    const path = resolve(directory);
    const owner = identityOf(process.pid);
    if (owner === undefined) throw new BerthError({ code: "BERTH_UNSUPPORTED", message: NO_PROC_MESSAGE });
    await createDirectory(path, 0o700);
    const previous = readClaim(join(path, CLAIM_FILE));
    if (previous?.owner !== undefined && isRunning(previous.owner)) {
      throw lockedError(path, previous.owner.pid);
    }
    if (previous?.etcd !== undefined) await stopOrphan(previous.etcd, path);
    const dir = new DataDir(path, { owner, ...withoutProcesses(previous) });
    dir.#write();
    return dir;
  }

  /** The ports of the last run. */
  get ports(): Ports | undefined {
    return this.#claim.ports;
  }

  /** Addresses of the members that the data belongs to. Empty if other servers could not join the cluster. */
  get members(): readonly string[] {
    return this.#claim.members ?? [];
  }

  /** Whether the member may still be a learner, whose data is only a copy. */
  get isJoining(): boolean {
    return this.#claim.isJoining ?? false;
  }

  /** Whether etcd has served requests with this directory, so that its data must be present. */
  get hasServed(): boolean {
    return this.#claim.hasServed ?? false;
  }

  recordServed(): void {
    if (this.hasServed) return;
    this.#claim = { ...this.#claim, hasServed: true };
    this.#write();
  }

  /** Clears the record of etcd's data, after the data of an interrupted restore was removed. */
  forgetData(): void {
    const { owner } = this.#claim;
    this.#claim = owner === undefined ? {} : { owner };
    this.#write();
  }

  recordJoining(isJoining: boolean): void {
    this.#claim = { ...this.#claim, isJoining };
    this.#write();
  }

  recordMembers(members: readonly string[]): void {
    this.#claim = { ...this.#claim, members };
    this.#write();
  }

  /** Records the etcd process that uses the directory. The next server finds the process after a crash. */
  recordProcess(pid: number, record: EtcdRecord): void {
    const etcd = identityOf(pid);
    this.#claim = { ...this.#claim, ...record, ...(etcd && { etcd }) };
    this.#write();
  }

  /** Lets another server claim the directory. Everything but the processes stays recorded. */
  release(): void {
    this.#claim = withoutProcesses(this.#claim);
    this.#write();
  }

  #write(): void {
    // Atomic, also for a power failure: a truncated claim would hide an orphaned etcd.
    const temporary = `${this.#file}.new`;
    const file = openSync(temporary, "w", 0o600);
    try {
      writeFileSync(file, `${JSON.stringify(this.#claim)}\n`);
      fsyncSync(file);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#file);
  }
}

/** Returns the claim that is kept after an orderly stop. */
function withoutProcesses(claim: Claim | undefined): Claim {
  const { owner: _owner, etcd: _etcd, ...recorded } = claim ?? {};
  return recorded;
}

function lockedError(path: string, pid: number): BerthError {
  return new BerthError({
    code: "BERTH_ETCD_DATA_LOCKED",
    message: `data directory ${path} is in use by process ${pid}; stop that process or use another --data-dir`,
    details: { dataDir: path, pid: String(pid) },
  });
}

/**
 * Stops the process if it is still the recorded process and uses this directory.
 *
 * @throws BerthError BERTH_ETCD_DATA_LOCKED if it survives SIGKILL
 */
async function stopOrphan(etcd: ProcessIdentity, path: string): Promise<void> {
  const isOurs = (): boolean => isRunning(etcd) && argumentsOf(etcd.pid).includes(path);
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (isOurs()) process.kill(etcd.pid, signal);
    const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
    while (isOurs() && performance.now() < deadlineMs) await delay(POLL_MS);
  }
  if (isOurs()) throw lockedError(path, etcd.pid);
}

/**
 * Returns undefined if the file is missing. A damaged file means that the directory is not claimed, but that etcd may
 * have served with it.
 */
function readClaim(file: string): Claim | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  return parseClaim(text) ?? { hasServed: true };
}

/** Parses the file that claims a data directory. Leaves out invalid fields. Returns undefined for an invalid file. */
export function parseClaim(text: string): Claim | undefined {
  try {
    const { owner, etcd, ports, members, isJoining, hasServed } = JSON.parse(text);
    return {
      ...(isIdentity(owner) && { owner }),
      ...(isIdentity(etcd) && { etcd }),
      ...(isPorts(ports) && { ports }),
      ...(isStringList(members) && { members }),
      ...(typeof isJoining === "boolean" && { isJoining }),
      ...(typeof hasServed === "boolean" && { hasServed }),
    };
  } catch {
    return undefined;
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== "object" || value === null) return false;
  const { pid, startTicks, bootId } = value as Readonly<Record<string, unknown>>;
  return isPositiveInteger(pid) && typeof startTicks === "string" && typeof bootId === "string";
}

function isPorts(value: unknown): value is Ports {
  if (typeof value !== "object" || value === null) return false;
  const { client, peer } = value as Readonly<Record<string, unknown>>;
  return [client, peer].every((port) => isPositiveInteger(port) && port <= MAX_PORT);
}

function isPositiveInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0;
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
