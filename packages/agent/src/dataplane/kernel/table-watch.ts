import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Logger } from "pino";
import { TABLE } from "./base-ruleset.js";
import { type Command, STABLE_AFTER_MS, SupervisedProcess } from "./supervised-process.js";

/** A burst of changes is one. */
const GATHER_MS = 20;

const MONITOR: Command = ["nft", "monitor", "chains"];
/** The kernel ends it with the thread that started it, which is our only one that starts programs: also on kill -9. */
const TIED_MONITOR: Command = ["setpriv", "--pdeathsig", "KILL", ...MONITOR];

export interface TableWatchOptions {
  readonly log: Pick<Logger, "warn">;
  /** What tells of changes; by default nft. */
  readonly command?: Command;
  /** Something of our table was removed, by us or by somebody else. */
  onTable(): void;
  /** Somebody changed chains other than ours: Docker's, maybe. */
  onDocker(): void;
}

/**
 * Watches the kernel's rules by `nft monitor`, which sleeps until something changes. Only chains: what else it could
 * tell of makes nft 1.0.6 crash.
 */
export class TableWatch {
  readonly #options: TableWatchOptions;
  readonly #pending = new Map<"onTable" | "onDocker", NodeJS.Timeout>();
  readonly #monitor: SupervisedProcess;
  #command: Command;
  #complaint = "";
  #isClosed = false;
  #isToldOf = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#command = options.command ?? TIED_MONITOR;
    this.#monitor = new SupervisedProcess({
      command: () => this.#command,
      stdio: ["ignore", "pipe", "pipe"],
      onStarted: (child) => this.#listen(child),
      onExited: (ranMs, error) => this.#ended(ranMs, error),
      onRestarted: () => {
        // What happened until it watches again may be missed.
        this.#tell("onTable");
        this.#tell("onDocker");
      },
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#monitor.close();
    for (const timer of this.#pending.values()) clearTimeout(timer);
  }

  #listen({ stdout, stderr }: ChildProcess): void {
    this.#complaint = "";
    if (stdout) createInterface({ input: stdout }).on("line", (line) => this.#read(line));
    if (stderr) {
      createInterface({ input: stderr }).on("line", (line) => {
        this.#complaint ||= line;
      });
    }
  }

  #ended(ranMs: number, error: NodeJS.ErrnoException | undefined): void {
    // Without util-linux, a watch that is left over ends with the next change that it cannot tell of.
    if (this.#command === TIED_MONITOR && error?.code === "ENOENT") this.#command = MONITOR;
    if (ranMs >= STABLE_AFTER_MS || this.#isToldOf) return;
    this.#isToldOf = true;
    const reason = error?.message ?? this.#complaint;
    const what = "cannot watch the kernel's rules: what others change in them is noticed some seconds later";
    this.#options.log.warn({ reason }, what);
  }

  #read(line: string): void {
    const [what, , family, table] = line.split(" ");
    if (family === "ip" && table === TABLE) {
      if (what === "delete") this.#tell("onTable");
    } else if (family === "ip" && table?.startsWith(`${TABLE}-`) !== true) {
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
