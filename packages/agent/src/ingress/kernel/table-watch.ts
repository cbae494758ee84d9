import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { TABLE } from "./skeleton.js";

/** A burst of changes is one. */
const GATHER_MS = 20;
const RESTART_MS = 1_000;

export interface TableWatchOptions {
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
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#start();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    for (const timer of this.#pending.values()) clearTimeout(timer);
    this.#child?.kill("SIGKILL");
  }

  #start(): void {
    const child = spawn("nft", ["monitor", "chains"], { stdio: ["ignore", "pipe", "ignore"] });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#read(line));
    child.on("error", () => {});
    child.on("close", () => {
      if (this.#isClosed) return;
      // What happened until it watches again may be missed.
      this.#restart = setTimeout(() => {
        this.#start();
        this.#tell("onTable");
        this.#tell("onDocker");
      }, RESTART_MS);
    });
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
