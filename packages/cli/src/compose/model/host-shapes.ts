import { type Cursor, listFields, readItems } from "../tree/cursor.js";
import { hasVariables, listNode, type Node, scalarNode, scalarText } from "../tree/node.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { text as textShape } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape, type Stage } from "./shapes/shape.js";
import { choiceOf, listSchema, TEXT_SCHEMA } from "./shapes/value-schema.js";

const EXTRA_HOSTS_SCHEMA = choiceOf(
  { kind: "dictionary", values: choiceOf(TEXT_SCHEMA, listSchema(TEXT_SCHEMA)) },
  listSchema(TEXT_SCHEMA),
);

/**
 * The key `extra_hosts`: a list of `HOST=ADDRESS` or `HOST:ADDRESS`, or a mapping. The canonical form, in which files are
 * merged, is a sorted list of `HOST=ADDRESS`.
 */
export const extraHosts: Shape = defineShape(EXTRA_HOSTS_SCHEMA, (cursor, stage) => {
  const entries = cursor.node.kind === "map" ? hostsOfMap(cursor) : hostsOfList(cursor);
  if (entries === undefined) return undefined;
  const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  return listOf(textShape)({ ...cursor, node: listNode(sorted, cursor.position) }, stage);
});

type Scalar = Extract<Node, { kind: "scalar" }>;

/** An entry is complete in each file, so its text is read as in the merged project: null is an error. */
const ENTRY_STAGE: Stage = "project";

function hostsOfMap(cursor: Cursor): readonly Scalar[] {
  return [...listFields(cursor)].flatMap(([host, field]) => {
    const addresses = oneOrMore(textShape)(field, ENTRY_STAGE);
    if (addresses?.kind !== "list") return [];
    return addresses.items.flatMap((item) => (item.kind === "scalar" ? hostEntry(field, host, item) : []));
  });
}

function hostsOfList(cursor: Cursor): readonly Scalar[] | undefined {
  return readItems(cursor)?.flatMap((item) => {
    const node = textShape(item, ENTRY_STAGE);
    if (node?.kind !== "scalar") return [];
    if (hasVariables(node)) return [node];
    const [, host, addresses] = /^([^=]+)=(.*)$/.exec(node.text) ?? /^([^:]+):(.*)$/.exec(node.text) ?? [];
    if (host !== undefined && addresses !== undefined && !host.includes(":")) {
      return addresses
        .split(",")
        .flatMap((address) => hostEntry(item, host, scalarNode(address, node.position)));
    }
    item.diagnostics.error(
      item,
      `${JSON.stringify(node.text)} has no address; use a form such as "db=10.0.0.5"`,
    );
    return [];
  });
}

/** Returns the entry of a host, or nothing if its address is empty, which is reported. */
function hostEntry(place: Cursor, host: string, address: Scalar): readonly Scalar[] {
  const text = scalarText(address).replace(/^\[(.+)\]$/, "$1");
  if (text !== "") return [scalarNode(`${host}=${text}`, address.position)];
  place.diagnostics.error(place, `host ${JSON.stringify(host)} has no address`);
  return [];
}
