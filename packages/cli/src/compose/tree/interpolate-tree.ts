import type { Diagnostics } from "../text/diagnostics.js";
import { interpolate, type Lookup } from "../text/template.js";
import type { MapEntry, Node, ScalarNode } from "./node.js";

/**
 * Replaces variables in every text of a file, never in its keys. Extension fields at the top are left alone:
 * nothing reads them but their aliases, and those are copies.
 */
export function interpolateTree(root: Node, lookup: Lookup, diagnostics: Diagnostics): Node {
  const unset = new Map<string, UnsetUse>();
  const filled = new Interpolation(lookup, diagnostics, unset).node(root, "");
  for (const [name, { node, path, count }] of unset) {
    const others = count > 1 ? ` (${count - 1} more ${count === 2 ? "place" : "places"} here)` : "";
    diagnostics.warn(
      { at: node.at, path },
      `the variable ${name} is not set: an empty text is used${others}`,
    );
  }
  return filled;
}

interface UnsetUse {
  readonly node: ScalarNode;
  readonly path: string;
  readonly count: number;
}

class Interpolation {
  readonly #lookup: Lookup;
  readonly #diagnostics: Diagnostics;
  readonly #unset: Map<string, UnsetUse>;

  constructor(lookup: Lookup, diagnostics: Diagnostics, unset: Map<string, UnsetUse>) {
    this.#lookup = lookup;
    this.#diagnostics = diagnostics;
    this.#unset = unset;
  }

  node(node: Node, path: string): Node {
    switch (node.kind) {
      case "scalar":
        return this.#scalar(node, path);
      case "list":
        return { ...node, items: node.items.map((item, index) => this.node(item, `${path}[${index}]`)) };
      case "map": {
        const entries = new Map<string, MapEntry>();
        for (const [key, entry] of node.entries) {
          const skip = path === "" && key.startsWith("x-");
          const value = skip ? entry.value : this.node(entry.value, path === "" ? key : `${path}.${key}`);
          entries.set(key, { ...entry, value });
        }
        return { ...node, entries };
      }
    }
  }

  #scalar(node: ScalarNode, path: string): ScalarNode {
    if (typeof node.value !== "string" || !node.value.includes("$")) return node;
    const result = interpolate(node.value, this.#lookup);
    if (result.kind === "invalid") {
      this.#diagnostics.error({ at: node.at, path }, result.message);
      return node;
    }
    for (const name of result.unset) {
      const use = this.#unset.get(name) ?? { node, path, count: 0 };
      this.#unset.set(name, { ...use, count: use.count + 1 });
    }
    return { ...node, value: result.text, text: result.text };
  }
}
