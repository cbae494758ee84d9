import type { Position } from "./source.js";

/** A problem at a place in a Compose file. Errors prevent the deployment, warnings do not. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly position: Position;
  /** For example `services.web.ports[0]`. Empty for the whole file. */
  readonly path: string;
  readonly message: string;
}

export interface Place {
  readonly position: Position;
  readonly path: string;
}

/** Limits memory. Counted per severity, so that warnings never displace errors. */
const MAX_PER_SEVERITY = 1_000;

/** Collects the problems of a file, so that all of them are reported at once. */
export class Diagnostics {
  readonly #found = new Map<string, Diagnostic>();
  readonly #counts = { error: 0, warning: 0 };

  error(place: Place, message: string): void {
    this.#add({ severity: "error", position: place.position, path: place.path, message });
  }

  warn(place: Place, message: string): void {
    this.#add({ severity: "warning", position: place.position, path: place.path, message });
  }

  get hasErrors(): boolean {
    return this.#counts.error > 0;
  }

  hasErrorAt(place: Place): boolean {
    return [...this.#found.values()].some(
      ({ severity, position, path }) =>
        severity === "error" && position.start === place.position.start && path === place.path,
    );
  }

  /** Whether there is an error at a path or below it. */
  hasErrorUnder(path: string): boolean {
    return [...this.#found.values()].some(
      (found) =>
        found.severity === "error" && (found.path === path || /^[.[]/.test(tailAfter(path, found.path))),
    );
  }

  /** Returns the problems in the order of the files, and in each file by position. */
  sorted(): readonly Diagnostic[] {
    const found = [...this.#found.values()];
    const fileOrder = new Map<string, number>();
    for (const { position } of found) {
      if (!fileOrder.has(position.source.name)) fileOrder.set(position.source.name, fileOrder.size);
    }
    const order = ({ position }: Diagnostic): number => fileOrder.get(position.source.name) ?? 0;
    return found.toSorted((a, b) => order(a) - order(b) || a.position.start - b.position.start);
  }

  /** Adds a diagnostic once per place: an error in an anchor is found again in each alias. */
  #add(diagnostic: Diagnostic): void {
    const { position, message, severity } = diagnostic;
    const key = `${severity} ${position.source.name}:${position.start} ${message}`;
    if (this.#found.has(key) || this.#counts[severity] >= MAX_PER_SEVERITY) return;
    this.#counts[severity] += 1;
    this.#found.set(key, diagnostic);
  }
}

/** Returns the part of a path after a prefix, or an empty string when it has another prefix. */
function tailAfter(prefix: string, path: string): string {
  return path.startsWith(prefix) ? path.slice(prefix.length) : "";
}
