import type { Clock } from "../../runtime/clock.js";
import { compareTimes, type LogSource, type MergedLine } from "./merge-logs.js";

/**
 * Any two lines that arrive within this time of each other come out in order. Longer than agents gather lines for and
 * a network in one place takes, short enough for a person not to notice.
 */
const WINDOW_MS = 100;

/** Lines in one window; a task that writes more makes all of them wait until the reader has taken them. */
const MAX_WINDOW_LINES = 20_000;

type Line = Extract<MergedLine, { readonly kind: "line" }>;

export interface FollowedLogsOptions {
  readonly clock: Clock;
  /** Asked when all logs have ended, and by `look`: is no more to be added? */
  readonly isOver: () => boolean;
}

/** Lines of logs that go on, as they come, until `end`. */
export class FollowedLogs {
  readonly #clock: Clock;
  readonly #isOver: () => boolean;
  readonly #losses: MergedLine[] = [];
  #openCount = 0;
  /** What came before the window that is open now, and in it. */
  #settled: readonly Line[] = [];
  #fresh: Line[] = [];
  #isEnded = false;
  #wakeReader: () => void = () => {};
  #wakeWriters: () => void = () => {};
  #roomAgain: Promise<void> | undefined;

  constructor({ clock, isOver }: FollowedLogsOptions) {
    this.#clock = clock;
    this.#isOver = isOver;
  }

  add(source: LogSource): void {
    this.#openCount += 1;
    void this.#pump(source).then(() => {
      this.#openCount -= 1;
      this.#wakeReader();
    });
  }

  /** Whether it is over may have changed. */
  look(): void {
    this.#wakeReader();
  }

  end(): void {
    this.#isEnded = true;
    this.#wakeReader();
    this.#wakeWriters();
  }

  async *lines(): AsyncGenerator<MergedLine> {
    while (!this.#isEnded) {
      yield* this.#losses.splice(0);
      yield* this.#takeSettled();
      if (this.#hasNews) await this.#window();
      else if (this.#openCount === 0 && this.#isOver()) return;
      else await this.#something();
    }
  }

  get #hasNews(): boolean {
    return this.#settled.length > 0 || this.#fresh.length > 0 || this.#losses.length > 0;
  }

  async #pump({ task, log }: LogSource): Promise<void> {
    try {
      for (let chunks = await log.take(); chunks !== undefined; chunks = await log.take()) {
        for (const chunk of chunks) this.#fresh.push({ kind: "line", task, chunk });
        this.#wakeReader();
        if (this.#fresh.length >= MAX_WINDOW_LINES) await this.#room();
        if (this.#isEnded) return;
      }
    } catch (error) {
      this.#losses.push({ kind: "lost", task, error });
      this.#wakeReader();
    }
  }

  /** The lines up to the newest that has waited for a whole window: what may still come is newer than those. */
  #takeSettled(): readonly Line[] {
    const byTime = (a: Line, b: Line): number => compareTimes(a.chunk.timeNs, b.chunk.timeNs);
    const newest = this.#settled.at(-1);
    const lines = [...this.#settled, ...this.#fresh].sort(byTime);
    this.#fresh = [];
    this.#wakeWriters();
    const end = newest === undefined ? 0 : lines.lastIndexOf(newest) + 1;
    this.#settled = lines.slice(end);
    return lines.slice(0, end);
  }

  #room(): Promise<void> {
    this.#roomAgain ??= new Promise((resolve) => {
      this.#wakeWriters = () => {
        this.#roomAgain = undefined;
        this.#wakeWriters = () => {};
        resolve();
      };
    });
    return this.#roomAgain;
  }

  #window(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(WINDOW_MS, resolve);
    });
  }

  async #something(): Promise<void> {
    if (this.#isEnded) return;
    await new Promise<void>((resolve) => {
      this.#wakeReader = resolve;
    });
  }
}
