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

/** Pattern of the values that are kept even if they are empty: an empty command clears the image's command. */
const KEPT_EMPTY = /^services\.[^.]+\.(?:command|entrypoint)$/;
/** Pattern of the values whose keys the user chooses. In them, an empty value has a meaning. */
const USER_VALUES =
  /^(?:services\.[^.]+\.(?:environment|labels|annotations|sysctls|storage_opt|networks|deploy\.labels|logging\.options|build\.(?:args|labels|additional_contexts|ssh))|(?:networks|volumes|secrets|configs)\.[^.]+\.(?:labels|driver_opts)|x-)/;

export interface RenderOptions {
  /** Whether the values of the project still have their variables. Default: false. */
  readonly keepVariables?: boolean;
}

/**
 * Returns a resolved project as plain data, without keys that have no effect: null, empty text, lists and mappings.
 * A dollar sign is doubled unless variables are kept, so that Compose can read the result.
 */
export function toPlainProject(
  root: Node,
  { keepVariables = false }: RenderOptions = {},
): { readonly [key: string]: PlainValue } {
  const formatText = keepVariables
    ? (text: string): string => text
    : (text: string): string => text.replaceAll("$", "$$$$");
  const plain = toPlain(root, "", formatText);
  return typeof plain === "object" && plain !== null && !isList(plain) ? plain : {};
}

/** Formats a project as YAML. */
export function renderYaml(project: { readonly [key: string]: PlainValue }): string {
  return stringify(project, { lineWidth: 0, aliasDuplicateObjects: false });
}

function toPlain(node: Node, path: string, formatText: (text: string) => string): PlainValue {
  switch (node.kind) {
    case "scalar":
      return typeof node.value === "string" ? formatText(node.value) : node.value;
    case "list":
      return node.items.map((item) => toPlain(item, path, formatText));
    case "map": {
      const fields: { [key: string]: PlainValue } = {};
      for (const [key, { value }] of node.entries) {
        const childPath = path === "" ? key : `${path}.${key.replaceAll(".", "")}`;
        const plain = toPlain(value, childPath, formatText);
        const isKept = USER_VALUES.test(path) || KEPT_EMPTY.test(childPath) || !isEmpty(plain);
        if (isKept && !(plain === null && KEPT_EMPTY.test(childPath))) fields[key] = plain;
      }
      return fields;
    }
  }
}

function isEmpty(value: PlainValue): boolean {
  if (value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function isList(value: object): value is readonly PlainValue[] {
  return Array.isArray(value);
}
