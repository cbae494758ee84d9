import type { Reply } from "../load-generator.js";

/** Maximum number of recorded spans, in case all replies differ. More than the number of tasks in any run. */
const MAX_SPANS = 1_000;

/** The period in which a task served a version of the secret. */
interface Span {
  readonly task: string;
  readonly version: number;
  readonly firstMs: number;
  lastMs: number;
  replies: number;
}

/** When an update of the secret took effect, in milliseconds since the update began. */
export interface VersionUpdate {
  readonly firstNewMs: number;
  readonly lastOldMs: number;
}

/** Records which version of the secret each task served during one run. */
export class ServedVersions {
  readonly #spans = new Map<string, Span>();

  /** Records a reply "TASK VERSION". */
  record({ body, atMs }: Reply): void {
    const span = this.#spans.get(body);
    if (span !== undefined) {
      span.lastMs = Math.max(span.lastMs, atMs);
      span.replies += 1;
      return;
    }
    if (this.#spans.size >= MAX_SPANS) return;
    const [task = "", version = ""] = body.split(" ");
    this.#spans.set(body, { task, version: Number(version), firstMs: atMs, lastMs: atMs, replies: 1 });
  }

  /** Returns one line per task and version, with times relative to `originMs`. */
  describe(originMs: number): readonly string[] {
    const seconds = (atMs: number): string => ((atMs - originMs) / 1_000).toFixed(2);
    return this.#sorted().map(
      ({ task, version, firstMs, lastMs, replies }) =>
        `  version ${version}: ${task}, ${replies} replies, from ${seconds(firstMs)} s to ${seconds(lastMs)} s`,
    );
  }

  /**
   * Returns when an update from one version to the next took effect.
   *
   * @throws Error unless `replicas` tasks have served each of the two versions, and no task both
   */
  update(originMs: number, replicas: number): VersionUpdate {
    const spans = this.#sorted();
    const [oldVersion = 0] = spans.map(({ version }) => version);
    const old = spans.filter(({ version }) => version === oldVersion);
    const next = spans.filter(({ version }) => version === oldVersion + 1);
    const tasks = new Set(spans.map(({ task }) => task));
    if (old.length !== replicas || next.length !== replicas || tasks.size !== spans.length)
      throw new Error(`not an update of ${replicas} tasks:\n${this.describe(originMs).join("\n")}`);
    return {
      firstNewMs: Math.min(...next.map(({ firstMs }) => firstMs)) - originMs,
      lastOldMs: Math.max(...old.map(({ lastMs }) => lastMs)) - originMs,
    };
  }

  #sorted(): readonly Span[] {
    return [...this.#spans.values()].sort((a, b) => a.version - b.version || a.firstMs - b.firstMs);
  }
}
