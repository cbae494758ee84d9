import type { Position } from "./source.js";

/** Something to say about a place in a Compose file. Errors stop the deploy, warnings do not. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly at: Position;
  /** `services.web.ports[0]`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
}

export interface Place {
  readonly at: Position;
  readonly path: string;
}

/** A bound for memory, of each severity: warnings never crowd out an error. */
const MAX_PER_SEVERITY = 1_000;

/** Collects what is found while a file is read, so that all of it is said at once. */
export class Diagnostics {
  readonly #found = new Map<string, Diagnostic>();
  readonly #counts = { error: 0, warning: 0 };

  error(place: Place, message: string): void {
    this.#add({ severity: "error", at: place.at, path: place.path, message });
  }

  warn(place: Place, message: string): void {
    this.#add({ severity: "warning", at: place.at, path: place.path, message });
  }

  get hasErrors(): boolean {
    return this.#counts.error > 0;
  }

  hasErrorAt(place: Place): boolean {
    return [...this.#found.values()].some(
      ({ severity, at, path }) => severity === "error" && at.start === place.at.start && path === place.path,
    );
  }

  /** Whether something is wrong with what a path names, or with a part of it. */
  hasErrorUnder(path: string): boolean {
    return [...this.#found.values()].some(
      (found) =>
        found.severity === "error" && (found.path === path || /^[.[]/.test(tailAfter(path, found.path))),
    );
  }

  /** In the order of the files as they were first seen, and of the places in them. */
  sorted(): readonly Diagnostic[] {
    const found = [...this.#found.values()];
    const fileOrder = new Map<string, number>();
    for (const { at } of found) {
      if (!fileOrder.has(at.source.name)) fileOrder.set(at.source.name, fileOrder.size);
    }
    const order = ({ at }: Diagnostic): number => fileOrder.get(at.source.name) ?? 0;
    return found.toSorted((a, b) => order(a) - order(b) || a.at.start - b.at.start);
  }

  /** An anchor's mistake is met once per alias: the same words about the same place count once. */
  #add(diagnostic: Diagnostic): void {
    const { at, message, severity } = diagnostic;
    const key = `${severity} ${at.source.name}:${at.start} ${message}`;
    if (this.#found.has(key) || this.#counts[severity] >= MAX_PER_SEVERITY) return;
    this.#counts[severity] += 1;
    this.#found.set(key, diagnostic);
  }
}

/** What a path has after a prefix; empty when it has another beginning. */
function tailAfter(prefix: string, path: string): string {
  return path.startsWith(prefix) ? path.slice(prefix.length) : "";
}
