import { stringify } from "yaml";
import type { Node } from "../tree/node.js";

/** A value of JSON or YAML. */
export type PlainValue =
  | string
  | number
  | boolean
  | null
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

/** Values that are lists and mappings even when they are empty: an empty command clears that of the image. */
const KEPT_EMPTY = /^services\.[^.]+\.(?:command|entrypoint)$/;
/** Values whose keys the user chooses. An empty value has a meaning in them. */
const USER_VALUES =
  /^(?:services\.[^.]+\.(?:environment|labels|annotations|sysctls|storage_opt|networks|deploy\.labels|logging\.options|build\.(?:args|labels|additional_contexts|ssh))|(?:networks|volumes|secrets|configs)\.[^.]+\.(?:labels|driver_opts)|x-)/;

/**
 * Returns a resolved project as plain data, without the keys that have no effect: false, empty text, lists and mappings.
 * A dollar sign is doubled, so that Compose can read the result.
 */
export function toPlainProject(root: Node): { readonly [key: string]: PlainValue } {
  const plain = toPlain(root, "");
  return typeof plain === "object" && plain !== null && !isList(plain) ? plain : {};
}

/** Formats a resolved project as YAML. */
export function renderYaml(root: Node): string {
  return stringify(toPlainProject(root), { lineWidth: 0, aliasDuplicateObjects: false });
}

function toPlain(node: Node, path: string): PlainValue {
  switch (node.kind) {
    case "scalar":
      return typeof node.value === "string" ? node.value.replaceAll("$", "$$$$") : node.value;
    case "list":
      return node.items.map((item) => toPlain(item, path));
    case "map": {
      const fields: { [key: string]: PlainValue } = {};
      for (const [key, { value }] of node.entries) {
        const childPath = path === "" ? key : `${path}.${key.replaceAll(".", "")}`;
        const plain = toPlain(value, childPath);
        const isKept = USER_VALUES.test(path) || KEPT_EMPTY.test(childPath) || !isEmpty(plain);
        if (isKept && !(plain === null && KEPT_EMPTY.test(childPath))) fields[key] = plain;
      }
      return fields;
    }
  }
}

function isEmpty(value: PlainValue): boolean {
  if (value === null || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function isList(value: object): value is readonly PlainValue[] {
  return Array.isArray(value);
}
