import type { SourceSpan } from "./source.js";

/** A problem at a place in a Compose file. Errors prevent the deployment, warnings do not. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly position: SourceSpan;
  /** Path in the YAML tree, such as `services.web.ports[0]`. Empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** Whether the deployment ignores a setting that has an effect in Compose. */
  readonly isSettingIgnored: boolean;
}

/** Location of a diagnostic: a position in a file, and a path in its YAML tree. */
export interface Place {
  readonly position: SourceSpan;
  readonly path: string;
}

/** Returns the place of a path, or of the closest part that contains it. The places include one for the empty path. */
export function findPlace(path: string, places: ReadonlyMap<string, Place>): Place {
  for (let prefix = path; ; prefix = prefix.replace(LAST_STEP, "")) {
    const place = places.get(prefix);
    if (place !== undefined) return place;
    if (prefix === "") throw new RangeError(`no place for the path ${JSON.stringify(path)}`);
  }
}

/** Pattern of the last step of `a.b[0].c`. A step can be empty, in `a..b`. */
const LAST_STEP = /(?:\.[^.[]*|\[\d+\]|^[^.[]+|.)$/;

/** Maximum number of diagnostics of each severity, to limit memory. Warnings never displace errors. */
const MAX_PER_SEVERITY = 1_000;

/** Collects the problems of all Compose files of a stack, so that they are reported at once. */
export class Diagnostics {
  readonly #diagnostics = new Map<string, Diagnostic>();
  readonly #counts = { error: 0, warning: 0 };

  error(place: Place, message: string): void {
    this.#add({
      severity: "error",
      position: place.position,
      path: place.path,
      message,
      isSettingIgnored: false,
    });
  }

  warn(place: Place, message: string): void {
    this.#add({
      severity: "warning",
      position: place.position,
      path: place.path,
      message,
      isSettingIgnored: false,
    });
  }

  /** Warns about an ignored setting that has an effect in Compose. */
  warnIgnored(place: Place, message: string): void {
    this.#add({
      severity: "warning",
      position: place.position,
      path: place.path,
      message,
      isSettingIgnored: true,
    });
  }

  get hasErrors(): boolean {
    return this.#counts.error > 0;
  }

  /** Returns whether there is an error at exactly this place. */
  hasErrorAt(place: Place): boolean {
    return [...this.#diagnostics.values()].some(
      ({ severity, position, path }) =>
        severity === "error" && position.start === place.position.start && path === place.path,
    );
  }

  /** Returns whether there is an error at a path or below it. */
  hasErrorUnder(path: string): boolean {
    return [...this.#diagnostics.values()].some(
      (found) =>
        found.severity === "error" && (found.path === path || /^[.[]/.test(tailAfter(path, found.path))),
    );
  }

  /** Returns the diagnostics in the order of the files, and in each file by position. */
  sorted(): readonly Diagnostic[] {
    const diagnostics = [...this.#diagnostics.values()];
    const fileOrder = new Map<string, number>();
    for (const { position } of diagnostics) {
      if (!fileOrder.has(position.source.name)) fileOrder.set(position.source.name, fileOrder.size);
    }
    const order = ({ position }: Diagnostic): number => fileOrder.get(position.source.name) ?? 0;
    return diagnostics.toSorted((a, b) => order(a) - order(b) || a.position.start - b.position.start);
  }

  /** Adds a diagnostic once: a problem in an anchor is found again in each alias. */
  #add(diagnostic: Diagnostic): void {
    const { position, message, severity } = diagnostic;
    const key = `${severity} ${position.source.name}:${position.start} ${message}`;
    if (this.#diagnostics.has(key) || this.#counts[severity] >= MAX_PER_SEVERITY) return;
    this.#counts[severity] += 1;
    this.#diagnostics.set(key, diagnostic);
  }
}

/** Returns the part of a path after a prefix, or an empty string when the path does not start with it. */
function tailAfter(prefix: string, path: string): string {
  return path.startsWith(prefix) ? path.slice(prefix.length) : "";
}
