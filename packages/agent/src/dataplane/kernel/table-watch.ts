import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Logger } from "pino";
import { TABLE } from "./base-ruleset.js";
import { type Command, STABLE_AFTER_MS, SupervisedProcess } from "./supervised-process.js";

/** Time after a first change in which further changes are reported together with it. */
const COALESCE_MS = 20;

/** Monitors only chains: with other events, nft 1.0.6 crashes. */
const MONITOR_COMMAND: Command = ["nft", "monitor", "chains"];
/** The kernel kills the monitor when this process ends, even by SIGKILL. */
const TIED_MONITOR: Command = ["setpriv", "--pdeathsig", "KILL", ...MONITOR_COMMAND];

export interface TableWatchOptions {
  readonly log: Pick<Logger, "warn">;
  /** The table to watch, with its family. Defaults to the table of published ports. */
  readonly table?: string;
  /** The command that prints changes; by default `nft monitor`. */
  readonly command?: Command;
  /** Called when a chain of the table was deleted, by berth or another program, and when the monitor restarted. */
  readonly onChainDeleted: () => void;
  /** Called when a chain outside berth's tables changed, such as one of Docker's, and when the monitor restarted. */
  readonly onForeignChainChanged?: () => void;
}

type Event = "onChainDeleted" | "onForeignChainChanged";

/** Watches the kernel's nftables chains, with `nft monitor`, which sleeps until something changes. */
export class TableWatch {
  readonly #options: TableWatchOptions;
  readonly #pending = new Map<Event, NodeJS.Timeout>();
  readonly #monitor: SupervisedProcess;
  readonly #table: string;
  #command: Command;
  #firstErrorLine = "";
  #hasWarned = false;
  #isClosed = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#table = options.table ?? `ip ${TABLE}`;
    this.#command = options.command ?? TIED_MONITOR;
    this.#monitor = new SupervisedProcess({
      command: () => this.#command,
      stdio: ["ignore", "pipe", "pipe"],
      onStarted: (child) => this.#readOutput(child),
      onExited: (ranMs, error) => this.#onExited(ranMs, error),
      onRestarted: () => {
        // Changes may have been missed in between.
        this.#notify("onChainDeleted");
        this.#notify("onForeignChainChanged");
      },
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#monitor.close();
    for (const timer of this.#pending.values()) clearTimeout(timer);
  }

  #readOutput({ stdout, stderr }: ChildProcess): void {
    this.#firstErrorLine = "";
    if (stdout) createInterface({ input: stdout }).on("line", (line) => this.#handleLine(line));
    if (stderr) {
      createInterface({ input: stderr }).on("line", (line) => {
        this.#firstErrorLine ||= line;
      });
    }
  }

  #onExited(ranMs: number, error: NodeJS.ErrnoException | undefined): void {
    // Without util-linux, an orphaned monitor ends at the next change, when it cannot write.
    if (this.#command === TIED_MONITOR && error?.code === "ENOENT") this.#command = MONITOR_COMMAND;
    if (ranMs >= STABLE_AFTER_MS || this.#hasWarned) return;
    this.#hasWarned = true;
    const reason = error?.message ?? this.#firstErrorLine;
    this.#options.log.warn({ reason }, "cannot watch nftables; changes from outside are noticed later");
  }

  #handleLine(line: string): void {
    const event = parseMonitorLine(line, this.#table);
    if (event !== undefined) this.#notify(event);
  }

  #notify(event: Event): void {
    if (this.#pending.has(event) || this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#pending.delete(event);
      this.#options[event]?.();
    }, COALESCE_MS);
    this.#pending.set(event, timer);
  }
}

/** Returns the event of a line such as `delete chain ip berth port-tcp-80`, or undefined if it does not matter. */
export function parseMonitorLine(line: string, watchedTable: string): Event | undefined {
  const [verb, , family, table] = line.split(" ");
  if (`${family} ${table}` === watchedTable) return verb === "delete" ? "onChainDeleted" : undefined;
  const isForeign = family === "ip" && table !== TABLE && table?.startsWith(`${TABLE}-`) !== true;
  return isForeign ? "onForeignChainChanged" : undefined;
}
