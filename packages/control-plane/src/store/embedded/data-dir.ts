import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BerthError } from "@berth/proto";

/** Who uses the folder, beside etcd's own data so that removing the data removes the claim. */
const CLAIM_FILE = "berth-server.json";

/** An etcd that was told to end does so within this; then it is killed, which loses nothing either. */
const END_TIMEOUT_MS = 5_000;
const POLL_MS = 20;

export interface Ports {
  readonly client: number;
  readonly peer: number;
}

interface Claim {
  /** Absent after an orderly end. */
  readonly owner?: ProcessIdentity;
  readonly etcd?: ProcessIdentity;
  readonly ports?: Ports;
  /** Addresses of the cluster that the data is of; absent for a server alone. */
  readonly members?: readonly string[];
}

/**
 * The data folder of an embedded etcd, claimed by this process. The claim outlives a crash: the next server finds in it
 * the etcd that was left over and the ports that it used.
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
   * Makes the folder if need be, ends an etcd that a dead server left behind, and claims it.
   * @throws BerthError BERTH_ETCD_DATA_LOCKED while another server uses the folder
   */
  static async claim(folder: string): Promise<DataDir> {
    const path = resolve(folder);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const owner = identityOf(process.pid);
    if (owner === undefined) throw new BerthError({ code: "BERTH_UNSUPPORTED", message: NO_PROC });
    const previous = readClaim(join(path, CLAIM_FILE));
    if (previous?.owner !== undefined && isRunning(previous.owner)) throw lockedBy(path, previous.owner.pid);
    if (previous?.etcd !== undefined) await endLeftover(previous.etcd, path);
    const dir = new DataDir(path, { owner, ...lasting(previous) });
    dir.#write();
    return dir;
  }

  /** The ports of the last run, if there was one. */
  get ports(): Ports | undefined {
    return this.#claim.ports;
  }

  /** The members of the cluster that the data is of, if it is one. */
  get members(): readonly string[] {
    return this.#claim.members ?? [];
  }

  /** Notes which etcd serves this folder, before anything else can go wrong. */
  record(pid: number, ports: Ports, members: readonly string[]): void {
    const etcd = identityOf(pid);
    this.#claim = { ...this.#claim, ports, members, ...(etcd && { etcd }) };
    this.#write();
  }

  /** Lets another server claim the folder; what the data is stays noted. */
  release(): void {
    this.#claim = lasting(this.#claim);
    this.#write();
  }

  #write(): void {
    // Whole or not at all: a claim cut short by a crash would hide a left-over etcd.
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(this.#claim)}\n`, { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function lasting(claim: Claim | undefined): Claim {
  return { ...(claim?.ports && { ports: claim.ports }), ...(claim?.members && { members: claim.members }) };
}

const NO_PROC =
  "The embedded etcd needs Linux with /proc mounted. Start an etcd of your own and name it with --etcd URL.";

function lockedBy(path: string, pid: number): BerthError {
  return new BerthError({
    code: "BERTH_ETCD_DATA_LOCKED",
    message: `The data folder ${path} is in use by process ${pid}. Stop that server, or give this one another --data-dir.`,
    details: { dataDir: path, pid: String(pid) },
  });
}

/**
 * Ends the process only if it is the very one that was recorded, and an etcd on this folder.
 * @throws BerthError BERTH_ETCD_DATA_LOCKED if even SIGKILL does not end it
 */
async function endLeftover(etcd: ProcessIdentity, path: string): Promise<void> {
  const isOurs = (): boolean => isRunning(etcd) && argumentsOf(etcd.pid).includes(path);
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (isOurs()) process.kill(etcd.pid, signal);
    const deadlineMs = performance.now() + END_TIMEOUT_MS;
    while (isOurs() && performance.now() < deadlineMs) await delay(POLL_MS);
  }
  if (isOurs()) throw lockedBy(path, etcd.pid);
}

function readClaim(file: string): Claim | undefined {
  try {
    const { owner, etcd, ports, members } = JSON.parse(readFileSync(file, "utf8"));
    return {
      ...(isIdentity(owner) && { owner }),
      ...(isIdentity(etcd) && { etcd }),
      ...(isPorts(ports) && { ports }),
      ...(isTexts(members) && { members }),
    };
  } catch {
    // Absent, or not of our making.
    return undefined;
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== "object" || value === null) return false;
  return "pid" in value && Number.isInteger(value.pid) && "startTicks" in value && "bootId" in value;
}

function isPorts(value: unknown): value is Ports {
  if (typeof value !== "object" || value === null) return false;
  return (
    "client" in value && Number.isInteger(value.client) && "peer" in value && Number.isInteger(value.peer)
  );
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** A process for certain: pids are reused, pids with their start time are not until the next boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  readonly startTicks: string;
  readonly bootId: string;
}

/** Undefined when no such process runs (a zombie does not). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const stat = readProc(`${pid}/stat`);
  // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTicks = rest[18];
  if (startTicks === undefined || state === "Z" || state === "X") return undefined;
  return { pid, startTicks, bootId: readProc("sys/kernel/random/boot_id").trim() };
}

export function isRunning(identity: ProcessIdentity): boolean {
  const now = identityOf(identity.pid);
  return now?.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

/** The arguments that a process was started with; empty if it does not run. */
export function argumentsOf(pid: number): readonly string[] {
  return readProc(`${pid}/cmdline`).split("\0").slice(0, -1);
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
