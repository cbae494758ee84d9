import { type Cursor, listFields, readItems } from "../tree/cursor.js";
import { hasVariables, listNode, type Node, scalarNode, scalarText } from "../tree/node.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf, listSchema, TEXT_SCHEMA } from "./shapes/value-schema.js";

const EXTRA_HOSTS_SCHEMA = choiceOf(
  { kind: "dictionary", values: choiceOf(TEXT_SCHEMA, listSchema(TEXT_SCHEMA)) },
  listSchema(TEXT_SCHEMA),
);

/** `extra_hosts`: a list of `HOST=ADDRESS` or `HOST:ADDRESS`, or a mapping. The canonical form is a sorted list. */
export const extraHosts: Shape = defineShape(EXTRA_HOSTS_SCHEMA, (cursor, stage) => {
  const entries = cursor.node.kind === "map" ? hostsOfMap(cursor) : hostsOfList(cursor);
  if (entries === undefined) return undefined;
  const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  return listOf(text)({ ...cursor, node: listNode(sorted, cursor.position) }, stage);
});

type Scalars = readonly Extract<Node, { kind: "scalar" }>[];

function hostsOfMap(cursor: Cursor): Scalars {
  return [...listFields(cursor)].flatMap(([host, field]) => {
    const addresses = oneOrMore(text)(field, "project");
    return addresses?.kind === "list" ? addresses.items.map((item) => hostEntry(host, item)) : [];
  });
}

function hostsOfList(cursor: Cursor): Scalars | undefined {
  return readItems(cursor)?.flatMap((item) => {
    const node = text(item, "project");
    if (node?.kind !== "scalar") return [];
    if (hasVariables(node)) return [node];
    const [, host, addresses] = /^([^=]+)=(.*)$/.exec(node.text) ?? /^([^:]+):(.*)$/.exec(node.text) ?? [];
    if (host !== undefined && addresses !== undefined && !host.includes(":")) {
      return addresses.split(",").map((address) => hostEntry(host, scalarNode(address, node.position)));
    }
    item.diagnostics.error(
      item,
      `${JSON.stringify(node.text)} has no address; use a form such as "db=10.0.0.5"`,
    );
    return [];
  });
}

function hostEntry(host: string, address: Node) {
  const value = address.kind === "scalar" ? scalarText(address) : "";
  return scalarNode(`${host}=${value.replace(/^\[(.+)\]$/, "$1")}`, address.position);
}
