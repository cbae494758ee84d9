import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  parseAllDocuments,
  type YAMLMap,
  type Scalar as YamlScalar,
} from "yaml";
import type { Diagnostics } from "../text/diagnostics.js";
import type { Position, Source } from "../text/source.js";
import type { ListNode, MapEntry, MapNode, Node, ScalarNode } from "./node.js";
import { resolvePlainScalar } from "./resolve-scalar.js";

/** A stack of a thousand services has some 50,000 values; more come from aliases of aliases of aliases. */
const MAX_NODES = 200_000;
const MAX_DEPTH = 100;
const MERGE_KEY = "<<";
const TOO_DEEP = "the file is nested too deeply";
const STACK_OVERFLOW = /^Maximum call stack size exceeded/;

/**
 * Reads a YAML file into its documents, with a place for each value. Anchors are followed (within a bound),
 * `<<` is merged, duplicate keys are errors. What cannot be read is reported and left out.
 */
export function parseYaml(source: Source, diagnostics: Diagnostics): readonly Node[] {
  const roots: Node[] = [];
  for (const document of parseDocuments(source, diagnostics)) {
    for (const error of tellingErrors(document)) {
      diagnostics.error({ at: position(source, error.pos), path: "" }, yamlMessage(error.message));
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    const converter = new Converter(source, diagnostics);
    const root = converter.convert(document.contents, "", 0);
    if (root !== undefined && !converter.isCut) roots.push(root);
  }
  return roots;
}

function parseDocuments(source: Source, diagnostics: Diagnostics): readonly Document.Parsed[] {
  try {
    // The failsafe schema leaves every scalar as text: resolvePlainScalar says what it means.
    const parsed = parseAllDocuments(source.text, {
      schema: "failsafe",
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "silent",
    });
    return "empty" in parsed ? [] : parsed;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    diagnostics.error({ at: position(source, [0, 0]), path: "" }, TOO_DEEP);
    return [];
  }
}

/** The library catches its own stack overflow; what it says after that comes from where it stopped reading. */
function tellingErrors({ errors }: Document.Parsed): Document.Parsed["errors"] {
  const overflow = errors.find(({ message }) => STACK_OVERFLOW.test(message));
  return overflow === undefined ? errors : [overflow];
}

/** What an alias stands for, and how much of it there is with all aliases written out. */
interface Anchored {
  readonly node: Node;
  readonly size: number;
  readonly height: number;
}

/** Turns the library's nodes into ours. Lives for one document: anchors do not reach across. */
class Converter {
  readonly #source: Source;
  readonly #diagnostics: Diagnostics;
  readonly #anchors = new Map<string, Anchored>();
  /** Values that the document has with every alias written out. */
  #nodes = 0;
  /** How deep the part that is being converted goes, with every alias written out. */
  #deepest = 0;
  #tooMany = false;

  constructor(source: Source, diagnostics: Diagnostics) {
    this.#source = source;
    this.#diagnostics = diagnostics;
  }

  /** Values are left out because there are too many: what is said about the rest would mislead. */
  get isCut(): boolean {
    return this.#tooMany;
  }

  convert(yaml: ParsedNode | null, path: string, depth: number): Node | undefined {
    if (yaml === null) return undefined;
    if (isAlias(yaml)) return this.#alias(yaml, path, depth);
    if (!this.#fits(yaml, path, { size: 1, depth })) return undefined;
    const nodesBefore = this.#nodes - 1;
    const deepestBefore = this.#deepest;
    this.#deepest = depth;
    const node = this.#collectionOrScalar(yaml, path, depth);
    if (yaml.anchor !== undefined && node !== undefined) {
      const anchored = { node, size: this.#nodes - nodesBefore, height: this.#deepest - depth };
      this.#anchors.set(yaml.anchor, anchored);
    }
    this.#deepest = Math.max(this.#deepest, deepestBefore);
    return node;
  }

  #collectionOrScalar(
    yaml: Exclude<ParsedNode, Alias.Parsed>,
    path: string,
    depth: number,
  ): Node | undefined {
    if (isMap(yaml)) return this.#map(yaml, path, depth);
    if (isSeq(yaml)) {
      const items = yaml.items.map((item, index) => this.convert(item, `${path}[${index}]`, depth + 1));
      const list: ListNode = {
        kind: "list",
        items: items.filter((item) => item !== undefined),
        ...this.#base(yaml),
      };
      return list;
    }
    return this.#scalar(yaml);
  }

  #alias(yaml: Alias.Parsed, path: string, depth: number): Node | undefined {
    const target = this.#anchors.get(yaml.source);
    if (target === undefined) {
      return this.#fail(yaml, path, `there is no anchor &${yaml.source} before this line that is complete`);
    }
    const { node, size, height } = target;
    return this.#fits(yaml, path, { size, depth: depth + height }) ? node : undefined;
  }

  #scalar(yaml: YamlScalar): ScalarNode {
    const text = String(yaml.value ?? "");
    const plain = yaml.type === "PLAIN" || yaml.type === undefined;
    const untagged = yaml.tag === undefined || yaml.tag === "!reset" || yaml.tag === "!override";
    const isText = yaml.tag === undefined ? !plain : !untagged && !/:(?:int|float|bool|null)$/.test(yaml.tag);
    return { kind: "scalar", text, value: isText ? text : resolvePlainScalar(text), ...this.#base(yaml) };
  }

  #map(yaml: YAMLMap.Parsed, path: string, depth: number): MapNode {
    const entries = new Map<string, MapEntry>();
    const merged: Node[] = [];
    for (const { key, value } of yaml.items) {
      if (!isScalar(key)) {
        this.#fail(key, path, "a key must be plain text");
        continue;
      }
      const name = String(key.value ?? "");
      const keyAt = position(this.#source, key.range);
      const keyPath = path === "" ? name : `${path}.${name}`;
      const isMerge = name === MERGE_KEY && key.type === "PLAIN";
      const node = this.convert(value, keyPath, depth + 1) ?? nullAt(keyAt);
      if (isMerge) merged.push(node);
      else if (entries.has(name)) this.#duplicate(name, keyAt, keyPath);
      else entries.set(name, { keyAt, value: node });
    }
    for (const node of merged) this.#mergeInto(entries, node, path);
    return { kind: "map", entries, ...this.#base(yaml) };
  }

  /** `<<`: what the map has itself wins, and of several merged maps the first. */
  #mergeInto(entries: Map<string, MapEntry>, node: Node, path: string): void {
    const maps = node.kind === "list" ? node.items : [node];
    for (const map of maps) {
      if (map.kind !== "map") {
        this.#diagnostics.error({ at: map.at, path }, "<< takes a mapping, or a list of them");
        continue;
      }
      for (const [name, entry] of map.entries) if (!entries.has(name)) entries.set(name, entry);
    }
  }

  #duplicate(name: string, at: Position, path: string): void {
    this.#diagnostics.error({ at, path }, `the key ${JSON.stringify(name)} is here twice`);
  }

  #base(yaml: { range?: readonly number[] | null; tag?: string }): Pick<Node, "at" | "mergeTag"> {
    const at = position(this.#source, yaml.range);
    if (yaml.tag === "!reset") return { at, mergeTag: "reset" };
    return yaml.tag === "!override" ? { at, mergeTag: "override" } : { at };
  }

  /** Counts what is about to be added, and refuses it when the document would become too large or too deep. */
  #fits(yaml: ParsedNode, path: string, added: { readonly size: number; readonly depth: number }): boolean {
    this.#nodes += added.size;
    this.#deepest = Math.max(this.#deepest, added.depth);
    if (added.depth > MAX_DEPTH) {
      this.#fail(yaml, path, `the file is nested deeper than ${MAX_DEPTH} levels`);
      return false;
    }
    if (this.#nodes <= MAX_NODES) return true;
    if (!this.#tooMany) this.#fail(yaml, path, `with its aliases the file has more than ${MAX_NODES} values`);
    this.#tooMany = true;
    return false;
  }

  #fail(yaml: { range?: readonly number[] | null }, path: string, message: string): undefined {
    this.#diagnostics.error({ at: position(this.#source, yaml.range), path }, message);
    return undefined;
  }
}

function nullAt(at: Position): ScalarNode {
  return { kind: "scalar", value: null, text: "", at };
}

function position(source: Source, range: readonly number[] | null | undefined): Position {
  const start = Math.min(range?.[0] ?? 0, source.text.length);
  return { source, start, end: Math.max(start, range?.[1] ?? start) };
}

/** The library ends some messages with a place of its own. */
function yamlMessage(message: string): string {
  if (STACK_OVERFLOW.test(message)) return TOO_DEEP;
  return message.replace(/ at line \d+, column \d+.*$/s, "").replace(/:$/, "");
}
