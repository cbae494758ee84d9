import type { Clock } from "../../runtime/clock.js";
import { compareTimes, type LogSource, type MergedLine } from "./past-logs.js";

/**
 * Time span within which arriving lines are sorted. Longer than the delays of agents and of a local network, and too
 * short for a person to notice.
 */
const WINDOW_MS = 100;

/** Maximum number of lines in one window. When the window is full, all sources wait for the reader. */
const MAX_WINDOW_LINES = 20_000;

/** Maximum size of the lines in one window. */
const MAX_WINDOW_BYTES = 512 * 1024;

type Line = Extract<MergedLine, { readonly kind: "line" }>;

export interface LiveLogsOptions {
  readonly clock: Clock;
  /** Whether no further source will be added. Called when all sources have ended, and after `recheck`. */
  readonly isComplete: () => boolean;
}

/** Merges the logs of running tasks by time within a short window, for `logs --follow`. */
export class LiveLogs {
  readonly #clock: Clock;
  readonly #isComplete: () => boolean;
  readonly #losses: MergedLine[] = [];
  #openSources = 0;
  /** Lines that arrived before the current window. */
  #earlierLines: readonly Line[] = [];
  /** Lines that arrived in the current window. */
  #windowLines: Line[] = [];
  #windowBytes = 0;
  #isEnded = false;
  #wakeReader: () => void = () => {};
  #wakeWriters: () => void = () => {};
  #windowEmptied: Promise<void> | undefined;

  constructor({ clock, isComplete }: LiveLogsOptions) {
    this.#clock = clock;
    this.#isComplete = isComplete;
  }

  /** Reads a source until it ends or fails. */
  add(source: LogSource): void {
    this.#openSources += 1;
    void this.#read(source).then(() => {
      this.#openSources -= 1;
      this.#wakeReader();
    });
  }

  /** Evaluates `isComplete` again. Must be called when its result may have changed. */
  recheck(): void {
    this.#wakeReader();
  }

  end(): void {
    this.#isEnded = true;
    this.#wakeReader();
    this.#wakeWriters();
  }

  /** Yields lines and losses until `end` is called, or until all sources have ended and the logs are complete. */
  async *lines(): AsyncGenerator<MergedLine> {
    while (!this.#isEnded) {
      yield* this.#losses.splice(0);
      yield* this.#takeOrdered();
      if (this.#hasPending) {
        await this.#windowElapsed();
      } else if (this.#openSources === 0 && this.#isComplete()) {
        return;
      } else {
        await this.#untilWoken();
      }
    }
  }

  get #hasPending(): boolean {
    return this.#earlierLines.length > 0 || this.#windowLines.length > 0 || this.#losses.length > 0;
  }

  get #isWindowFull(): boolean {
    return this.#windowLines.length >= MAX_WINDOW_LINES || this.#windowBytes >= MAX_WINDOW_BYTES;
  }

  async #read({ task, log }: LogSource): Promise<void> {
    try {
      for (let entries = await log.take(); entries !== undefined; entries = await log.take()) {
        for (const entry of entries) {
          this.#windowLines.push({ kind: "line", task, entry });
          this.#windowBytes += entry.line.length;
        }
        this.#wakeReader();
        if (this.#isWindowFull) await this.#waitForSpace();
        if (this.#isEnded) return;
      }
    } catch (error) {
      this.#losses.push({ kind: "lost", task, error });
      this.#wakeReader();
    }
  }

  /**
   * Takes the lines up to the newest line that has waited for a whole window. Newer lines wait for another window,
   * because older lines may still arrive.
   */
  #takeOrdered(): readonly Line[] {
    const byTime = (a: Line, b: Line): number => compareTimes(a.entry.timeNs, b.entry.timeNs);
    const newest = this.#earlierLines.at(-1);
    const lines = [...this.#earlierLines, ...this.#windowLines].sort(byTime);
    this.#windowLines = [];
    this.#windowBytes = 0;
    this.#wakeWriters();
    const end = newest === undefined ? 0 : lines.lastIndexOf(newest) + 1;
    this.#earlierLines = lines.slice(end);
    return lines.slice(0, end);
  }

  #waitForSpace(): Promise<void> {
    this.#windowEmptied ??= new Promise((resolve) => {
      this.#wakeWriters = () => {
        this.#windowEmptied = undefined;
        this.#wakeWriters = () => {};
        resolve();
      };
    });
    return this.#windowEmptied;
  }

  #windowElapsed(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(WINDOW_MS, resolve);
    });
  }

  async #untilWoken(): Promise<void> {
    if (this.#isEnded) return;
    await new Promise<void>((resolve) => {
      this.#wakeReader = resolve;
    });
  }
}
