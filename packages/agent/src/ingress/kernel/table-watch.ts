import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Logger } from "pino";
import { TABLE } from "./skeleton.js";

/** A burst of changes is one. */
const GATHER_MS = 20;
const FIRST_RESTART_MS = 1_000;
const LONGEST_RESTART_MS = 5 * 60_000;
/** One that ran for so long can run. */
const STABLE_MS = 10_000;

const MONITOR: Command = ["nft", "monitor", "chains"];
/** The kernel ends it with the thread that started it, which is our only one that starts programs: also on kill -9. */
const TIED_MONITOR: Command = ["setpriv", "--pdeathsig", "KILL", ...MONITOR];

type Command = readonly [program: string, ...args: readonly string[]];

export interface TableWatchOptions {
  readonly log: Pick<Logger, "warn">;
  /** What tells of changes; by default nft. */
  readonly command?: Command;
  /** Something of our table was removed, by us or by somebody else. */
  onTable(): void;
  /** Docker's chains, or the whole of its rules, were changed. */
  onDocker(): void;
}

/**
 * Watches the kernel's rules by `nft monitor`, which sleeps until something changes. Only chains: what else it could
 * tell of makes nft 1.0.6 crash.
 */
export class TableWatch {
  readonly #options: TableWatchOptions;
  readonly #pending = new Map<"onTable" | "onDocker", NodeJS.Timeout>();
  #command: Command;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restartMs = 0;
  #isClosed = false;
  #isToldOf = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#command = options.command ?? TIED_MONITOR;
    this.#start();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    for (const timer of this.#pending.values()) clearTimeout(timer);
    this.#child?.kill("SIGKILL");
  }

  #start(): void {
    const startedMs = performance.now();
    const [program, ...args] = this.#command;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let complaint = "";
    createInterface({ input: child.stdout }).on("line", (line) => this.#read(line));
    createInterface({ input: child.stderr }).on("line", (line) => {
      complaint ||= line;
    });
    child.on("error", (error) => {
      complaint = error.message;
      // Without util-linux, a watch that is left over ends with the next change that it cannot tell of.
      if (this.#command === TIED_MONITOR && "code" in error && error.code === "ENOENT")
        this.#command = MONITOR;
    });
    child.on("close", () => this.#ended(performance.now() - startedMs, complaint));
  }

  #ended(ranMs: number, complaint: string): void {
    if (this.#isClosed) return;
    this.#restartMs = restartDelay(this.#restartMs, ranMs);
    if (ranMs < STABLE_MS && !this.#isToldOf) {
      this.#isToldOf = true;
      const what =
        "cannot watch the kernel's rules: what others change in them is noticed some seconds later";
      this.#options.log.warn({ reason: complaint }, what);
    }
    this.#restart = setTimeout(() => {
      this.#start();
      // What happened until it watches again may be missed.
      this.#tell("onTable");
      this.#tell("onDocker");
    }, this.#restartMs);
  }

  #read(line: string): void {
    const [what, , family, table] = line.split(" ");
    if (family === "ip" && table === TABLE) {
      if (what === "delete") this.#tell("onTable");
    } else if (family === "ip") {
      this.#tell("onDocker");
    }
  }

  #tell(whom: "onTable" | "onDocker"): void {
    if (this.#pending.has(whom) || this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#pending.delete(whom);
      this.#options[whom]();
    }, GATHER_MS);
    this.#pending.set(whom, timer);
  }
}

/** Where it cannot run it is tried ever more rarely. */
export function restartDelay(previousMs: number, ranMs: number): number {
  if (ranMs >= STABLE_MS) return FIRST_RESTART_MS;
  return Math.min(LONGEST_RESTART_MS, Math.max(FIRST_RESTART_MS, previousMs * 2));
}
