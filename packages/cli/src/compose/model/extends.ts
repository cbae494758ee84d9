import type { Diagnostics, Place } from "../text/diagnostics.js";
import { didYouMean } from "../text/suggest.js";
import { mergeNodes } from "../tree/merge.js";
import { childOf, type Node, textOf, withEntry, withoutEntry } from "../tree/node.js";

/** The services of a file that another file extends, in canonical form. */
export interface ExtendedFile {
  readonly path: string;
  readonly services: Node | undefined;
}

export interface ExtendsOptions {
  readonly file: ExtendedFile;
  readonly diagnostics: Diagnostics;
  /** Reads another file. Returns undefined if it cannot be read, which has been reported. */
  readonly openFile: (path: string, place: Place) => ExtendedFile | undefined;
}

/** Replaces each service that has `extends` with the extended service, merged with its own keys. */
export function applyExtends(root: Node, options: ExtendsOptions): Node {
  const services = childOf(root, "services");
  if (root.kind !== "map" || services?.kind !== "map") return root;
  const hasExtends = [...services.entries.values()].some(
    ({ value }) => childOf(value, "extends") !== undefined,
  );
  if (!hasExtends) return root;
  const extender = new Extender(options);
  const entries = new Map(services.entries);
  for (const [name, entry] of services.entries) {
    const value = extender.extend({ file: options.file, name, chain: [] });
    if (value !== undefined) entries.set(name, { ...entry, value });
  }
  return withEntry(root, "services", { ...services, entries });
}

/** A service to extend, and the services that extend each other down to it. */
interface ExtendStep {
  readonly file: ExtendedFile;
  readonly name: string;
  readonly chain: readonly ExtendStep[];
}

/** Extends the services of one file. */
class Extender {
  readonly #options: ExtendsOptions;
  readonly #files = new Map<string, ExtendedFile | undefined>();
  /** The results of `extend`, by file and service. */
  readonly #extended = new Map<string, Node | undefined>();

  constructor(options: ExtendsOptions) {
    this.#options = options;
  }

  /** Returns a service merged with all that it extends. Undefined if the service does not exist. */
  extend(step: ExtendStep): Node | undefined {
    const key = keyOf(step);
    if (!this.#extended.has(key)) this.#extended.set(key, this.#extendOnce(step));
    return this.#extended.get(key);
  }

  #extendOnce(step: ExtendStep): Node | undefined {
    const service = childOf(step.file.services, step.name);
    const reference = childOf(service, "extends");
    if (service?.kind !== "map" || reference === undefined || reference.mergeTag === "reset") return service;
    const ownKeys = withoutEntry(service, "extends");
    const base = this.#findBase(reference, step);
    if (base === undefined) return ownKeys;
    const { diagnostics } = this.#options;
    return mergeNodes({ earlier: base, later: ownKeys, path: ["services", step.name], diagnostics });
  }

  /** Returns the service that a reference names, with all that it extends itself. */
  #findBase(reference: Node, step: ExtendStep): Node | undefined {
    const { diagnostics } = this.#options;
    const place = { position: reference.position, path: `services.${step.name}.extends` };
    const name = textOf(reference, "service");
    const path = textOf(reference, "file");
    if (name === undefined) {
      diagnostics.error(place, "the key service is missing");
      return undefined;
    }
    const file = path === undefined ? step.file : this.#open(path, place);
    if (file === undefined) return undefined;
    const next: ExtendStep = { file, name, chain: [...step.chain, step] };
    if (next.chain.some((earlier) => keyOf(earlier) === keyOf(next))) {
      const names = [...next.chain, next].map((each) => each.name).join(" -> ");
      diagnostics.error(place, `extends cycle: ${names}`);
      return undefined;
    }
    if (childOf(file.services, name) === undefined) {
      const serviceNames = file.services?.kind === "map" ? file.services.entries.keys() : [];
      const fileText = path === undefined ? "" : ` in ${path}`;
      diagnostics.error(
        place,
        `undefined service ${JSON.stringify(name)}${fileText}${didYouMean(name, serviceNames)}`,
      );
      return undefined;
    }
    return this.extend(next);
  }

  #open(path: string, place: Place): ExtendedFile | undefined {
    if (!this.#files.has(path)) this.#files.set(path, this.#options.openFile(path, place));
    return this.#files.get(path);
  }
}

function keyOf({ file, name }: ExtendStep): string {
  return `${file.path}\0${name}`;
}
