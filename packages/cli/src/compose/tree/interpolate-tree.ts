import { pluralize } from "../../output/human.js";
import type { Diagnostics } from "../text/diagnostics.js";
import { interpolate, type Lookup, MAX_EXPANDED_LENGTH, type VariableUse } from "../text/template.js";
import type { MapEntry, Node, ScalarNode } from "./node.js";

/** Pattern of text with a variable. */
const VARIABLE_PATTERN = /\$(?:[_a-zA-Z]|\{)/;
/** Pattern of the values that select the files of a project. Their variables are always replaced. */
const FILE_SELECTION = /^(?:include|services\.[^.]+\.extends)\b/;

/**
 * Replaces variables in all values of a file, but not in its keys. Top-level extension fields are skipped: only their
 * aliases use them, and aliases are copies. With `keepVariables`, only marks the values that have variables.
 */
export function interpolateTree(root: Node, context: InterpolationContext): Node {
  const { diagnostics } = context;
  const unset = new Map<string, UnsetUse>();
  const interpolated = new TreeInterpolator(context, unset).interpolate(root, "");
  for (const [name, { node, path, count }] of unset) {
    const others = count > 1 ? ` (and in ${pluralize(count - 1, "more place")})` : "";
    diagnostics.warn(
      { position: node.position, path },
      `variable ${name} is not set: using an empty string${others}`,
    );
  }
  return interpolated;
}

export interface InterpolationContext {
  readonly lookup: Lookup;
  readonly diagnostics: Diagnostics;
  /** Called for each variable in the tree. */
  readonly onVariable?: ((use: VariableUse) => void) | undefined;
  /** @default false */
  readonly keepVariables?: boolean | undefined;
}

/** The first use of an unset variable, and the number of all uses. */
interface UnsetUse {
  readonly node: ScalarNode;
  readonly path: string;
  readonly count: number;
}

/** Interpolates the values of one tree, and records the uses of unset variables. */
class TreeInterpolator {
  readonly #context: InterpolationContext;
  readonly #unset: Map<string, UnsetUse>;
  /** Length of all values with variables so far. */
  #expandedLength = 0;

  constructor(context: InterpolationContext, unset: Map<string, UnsetUse>) {
    this.#context = context;
    this.#unset = unset;
  }

  interpolate(node: Node, path: string): Node {
    switch (node.kind) {
      case "scalar":
        return this.#interpolateScalar(node, path);
      case "list":
        return {
          ...node,
          items: node.items.map((item, index) => this.interpolate(item, `${path}[${index}]`)),
        };
      case "map": {
        const entries = new Map<string, MapEntry>();
        for (const [key, entry] of node.entries) {
          const isExtension = path === "" && key.startsWith("x-");
          const value = isExtension
            ? entry.value
            : this.interpolate(entry.value, path === "" ? key : `${path}.${key}`);
          entries.set(key, { ...entry, value });
        }
        return { ...node, entries };
      }
    }
  }

  #interpolateScalar(node: ScalarNode, path: string): ScalarNode {
    if (typeof node.value !== "string" || !node.value.includes("$")) return node;
    const { lookup, diagnostics, onVariable, keepVariables = false } = this.#context;
    if (keepVariables && !FILE_SELECTION.test(path)) {
      return VARIABLE_PATTERN.test(node.value) ? { ...node, hasVariables: true } : node;
    }
    const result = interpolate(node.value, lookup, onVariable);
    if (result.kind === "invalid") {
      diagnostics.error({ position: node.position, path }, result.message);
      return node;
    }
    this.#expandedLength += result.text.length;
    if (this.#expandedLength > MAX_EXPANDED_LENGTH) {
      const message = `the file has more than ${MAX_EXPANDED_LENGTH} characters with its variables`;
      diagnostics.error({ position: node.position, path }, message);
      return node;
    }
    for (const name of result.unset) {
      const use = this.#unset.get(name) ?? { node, path, count: 0 };
      this.#unset.set(name, { ...use, count: use.count + 1 });
    }
    return { ...node, value: result.text, text: result.text };
  }
}
