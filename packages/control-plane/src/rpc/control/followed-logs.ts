import type { Clock } from "../../store/clock.js";
import { compareTimes, type LogSource, type MergedLine, reasonOf } from "./merged-logs.js";

/** Lines that come within this time of each other are put in order. */
const WINDOW_MS = 100;

/** Lines in one window; a task that writes more makes all of them wait until the reader has taken them. */
const MAX_WINDOW_LINES = 20_000;

type Line = Extract<MergedLine, { readonly kind: "line" }>;

export interface FollowedLogsOptions {
  readonly clock: Clock;
  /** End with the last of the logs; otherwise more can be added at any time. */
  readonly endsWithLogs: boolean;
}

/** Lines of logs that go on, as they come, until `end`. */
export class FollowedLogs {
  readonly #clock: Clock;
  readonly #endsWithLogs: boolean;
  #openCount = 0;
  #lines: Line[] = [];
  readonly #warnings: MergedLine[] = [];
  #isEnded = false;
  #wakeReader: () => void = () => {};
  #wakeWriters: () => void = () => {};
  #roomAgain: Promise<void> | undefined;

  constructor({ clock, endsWithLogs }: FollowedLogsOptions) {
    this.#clock = clock;
    this.#endsWithLogs = endsWithLogs;
  }

  add(source: LogSource): void {
    this.#openCount += 1;
    void this.#pump(source).then(() => {
      this.#openCount -= 1;
      this.#wakeReader();
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#wakeReader();
    this.#wakeWriters();
  }

  async *lines(): AsyncGenerator<MergedLine> {
    while (!this.#isEnded) {
      const { lines, warnings } = this.#takeWindow();
      yield* warnings;
      yield* lines;
      if (lines.length > 0 || warnings.length > 0) await this.#window();
      else if (this.#endsWithLogs && this.#openCount === 0) return;
      else await this.#something();
    }
  }

  async #pump({ task, log }: LogSource): Promise<void> {
    try {
      for (let chunks = await log.take(); chunks !== undefined; chunks = await log.take()) {
        for (const chunk of chunks) this.#lines.push({ kind: "line", task, chunk });
        this.#wakeReader();
        if (this.#lines.length >= MAX_WINDOW_LINES) await this.#room();
        if (this.#isEnded) return;
      }
    } catch (error) {
      this.#warnings.push({ kind: "warning", task, reason: reasonOf(error) });
      this.#wakeReader();
    }
  }

  #takeWindow(): { readonly lines: readonly Line[]; readonly warnings: readonly MergedLine[] } {
    const lines = this.#lines.sort((a, b) => compareTimes(a.chunk.timeNs, b.chunk.timeNs));
    this.#lines = [];
    this.#wakeWriters();
    return { lines, warnings: this.#warnings.splice(0) };
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
    await this.#window();
  }
}
