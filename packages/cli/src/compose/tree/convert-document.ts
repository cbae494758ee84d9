import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  type YAMLMap,
  type Scalar as YamlScalar,
} from "yaml";
import type { Diagnostics } from "../text/diagnostics.js";
import { lineColumn, type Source, type SourceSpan } from "../text/source.js";
import {
  type ListNode,
  type MapEntry,
  type MapNode,
  type Node,
  type ScalarNode,
  scalarNode,
} from "./node.js";
import { reservedKeyProblem } from "./reserved-key.js";
import { resolvePlainScalar } from "./resolve-scalar.js";

/** Maximum number of values with all aliases expanded. A stack of a thousand services has about 50,000. */
const MAX_NODES = 200_000;
const MAX_DEPTH = 100;
const MERGE_KEY = "<<";

/** Converts a parsed document of the YAML library to nodes. Returns undefined if it exceeds the maximum size. */
export function convertDocument(
  contents: ParsedNode,
  source: Source,
  diagnostics: Diagnostics,
): Node | undefined {
  const converter = new DocumentConverter(source, diagnostics);
  const root = converter.convert(contents, "", 0);
  return converter.exceedsSize ? undefined : root;
}

/** Converts a range from the YAML library to a span of the source. */
export function toSpan(source: Source, range: readonly number[] | null | undefined): SourceSpan {
  const start = Math.min(range?.[0] ?? 0, source.text.length);
  return { source, start, end: Math.max(start, range?.[1] ?? start) };
}

/** The target of an alias, with its expanded size and height. */
interface Anchor {
  readonly node: Node;
  readonly size: number;
  readonly height: number;
}

/** Converts one document: anchors are local to a document. */
class DocumentConverter {
  readonly #source: Source;
  readonly #diagnostics: Diagnostics;
  readonly #anchors = new Map<string, Anchor>();
  /** Number of values so far, with all aliases expanded. */
  #size = 0;
  /** Deepest level within the node that is being converted, with all aliases expanded. */
  #deepest = 0;
  #exceedsSize = false;

  constructor(source: Source, diagnostics: Diagnostics) {
    this.#source = source;
    this.#diagnostics = diagnostics;
  }

  /** Whether values were dropped, so that further errors about the document would be misleading. */
  get exceedsSize(): boolean {
    return this.#exceedsSize;
  }

  convert(yaml: ParsedNode | null, path: string, depth: number): Node | undefined {
    if (yaml === null) return undefined;
    if (isAlias(yaml)) return this.#expandAlias(yaml, path, depth);
    if (!this.#countNode(yaml, path, { size: 1, depth })) return undefined;
    const sizeBefore = this.#size - 1;
    const deepestBefore = this.#deepest;
    this.#deepest = depth;
    const node = this.#convertValue(yaml, path, depth);
    if (yaml.anchor !== undefined && node !== undefined) {
      const anchor = { node, size: this.#size - sizeBefore, height: this.#deepest - depth };
      this.#anchors.set(yaml.anchor, anchor);
    }
    this.#deepest = Math.max(this.#deepest, deepestBefore);
    return node;
  }

  #convertValue(yaml: Exclude<ParsedNode, Alias.Parsed>, path: string, depth: number): Node {
    if (isMap(yaml)) return this.#convertMap(yaml, path, depth);
    if (!isSeq(yaml)) return this.#convertScalar(yaml);
    const items = yaml.items.map((item, index) => this.convert(item, `${path}[${index}]`, depth + 1));
    const list: ListNode = {
      kind: "list",
      items: items.filter((item) => item !== undefined),
      ...this.#base(yaml),
    };
    return list;
  }

  #expandAlias(yaml: Alias.Parsed, path: string, depth: number): Node | undefined {
    const anchor = this.#anchors.get(yaml.source);
    if (anchor === undefined) {
      this.#error(yaml, path, `no anchor &${yaml.source} is defined before this line`);
      return undefined;
    }
    const { node, size, height } = anchor;
    return this.#countNode(yaml, path, { size, depth: depth + height }) ? node : undefined;
  }

  #convertScalar(yaml: YamlScalar): ScalarNode {
    const text = String(yaml.value ?? "");
    const value = isTextScalar(yaml) ? text : resolvePlainScalar(text);
    return { kind: "scalar", text, value, ...this.#base(yaml) };
  }

  #convertMap(yaml: YAMLMap.Parsed, path: string, depth: number): MapNode {
    const entries = new Map<string, MapEntry>();
    const merged: Node[] = [];
    for (const { key, value } of yaml.items) {
      if (!isScalar(key)) {
        this.#error(key, path, "a key must be plain text");
        continue;
      }
      const name = String(key.value ?? "");
      const keyPosition = toSpan(this.#source, key.range);
      const problem = reservedKeyProblem(name);
      if (problem !== undefined) {
        this.#error(key, path, problem);
        continue;
      }
      const keyPath = path === "" ? name : `${path}.${name}`;
      const isMerge = name === MERGE_KEY && key.type === "PLAIN";
      const node = this.convert(value, keyPath, depth + 1);
      const earlier = entries.get(name);
      if (isMerge) {
        if (node !== undefined) merged.push(node);
      } else if (earlier === undefined) {
        entries.set(name, { keyPosition, value: node ?? scalarNode(null, keyPosition) });
      } else {
        const { line } = lineColumn(earlier.keyPosition);
        const message = `duplicate key ${JSON.stringify(name)}: first defined on line ${line}`;
        this.#diagnostics.error({ position: keyPosition, path: keyPath }, message);
      }
    }
    for (const node of merged) this.#mergeInto(entries, node, path);
    return { kind: "map", entries, ...this.#base(yaml) };
  }

  /** Applies a merge key (`<<`). The mapping's own keys have precedence, then those of the first merged mapping. */
  #mergeInto(entries: Map<string, MapEntry>, node: Node, path: string): void {
    const maps = node.kind === "list" ? node.items : [node];
    for (const map of maps) {
      if (map.kind !== "map") {
        this.#diagnostics.error(
          { position: map.position, path },
          "<< must be a mapping or a list of mappings",
        );
        continue;
      }
      for (const [name, entry] of map.entries) {
        if (!entries.has(name)) entries.set(name, entry);
      }
    }
  }

  #base(yaml: { range?: readonly number[] | null; tag?: string }): Pick<Node, "position" | "mergeTag"> {
    const position = toSpan(this.#source, yaml.range);
    if (yaml.tag === "!reset") return { position, mergeTag: "reset" };
    return yaml.tag === "!override" ? { position, mergeTag: "override" } : { position };
  }

  /** Adds to the size of the document. Reports an error and returns false when it becomes too large or too deep. */
  #countNode(
    yaml: ParsedNode,
    path: string,
    added: { readonly size: number; readonly depth: number },
  ): boolean {
    this.#size += added.size;
    this.#deepest = Math.max(this.#deepest, added.depth);
    if (added.depth > MAX_DEPTH) {
      this.#error(yaml, path, `the file is nested deeper than ${MAX_DEPTH} levels`);
      return false;
    }
    if (this.#size <= MAX_NODES) return true;
    if (!this.#exceedsSize) {
      this.#error(yaml, path, `the file has more than ${MAX_NODES} values after its aliases are expanded`);
    }
    this.#exceedsSize = true;
    return false;
  }

  #error(yaml: { range?: readonly number[] | null }, path: string, message: string): void {
    this.#diagnostics.error({ position: toSpan(this.#source, yaml.range), path }, message);
  }
}

/**
 * Returns whether a scalar is text even if it looks like a number: it is quoted, or has a tag other than that of a number,
 * a boolean or null.
 */
function isTextScalar({ tag, type }: YamlScalar): boolean {
  if (tag === undefined) return type !== "PLAIN" && type !== undefined;
  const isMergeTag = tag === "!reset" || tag === "!override";
  return !isMergeTag && !/:(?:int|float|bool|null)$/.test(tag);
}
