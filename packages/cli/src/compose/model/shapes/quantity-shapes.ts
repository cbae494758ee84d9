import { formatGoDuration, parseBytes, parseDurationNs, parseNanoCpus } from "../../text/units.js";
import { reportWrongType } from "../../tree/cursor.js";
import { type Node, scalarNode, scalarText } from "../../tree/node.js";
import { text } from "./scalar-shapes.js";
import { defineShape, reportInvalid, type Shape } from "./shape.js";
import { TEXT_SCHEMA, type ValueSchema } from "./value-schema.js";

const NUMBER_OR_TEXT_SCHEMA: ValueSchema = { kind: "scalar", types: ["number", "string"] };

/** A duration as text. The canonical form is Go's, for example `1m30s`. */
export const duration: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  // Gives a number without a unit a better message than "must be text".
  const numberText = node.kind === "scalar" && typeof node.value === "number" ? node.text : undefined;
  const value = numberText ?? scalarValueText(text(cursor, "project"));
  const parsed = value === undefined ? undefined : reportInvalid(cursor, parseDurationNs(value));
  return parsed === undefined ? undefined : scalarNode(formatGoDuration(parsed), node.position);
});

/** A size as text or a number of bytes. The canonical form is the number of bytes as text. */
export const bytes: Shape = defineShape(NUMBER_OR_TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "a size");
  }
  const text = String(node.value);
  // -1 means unlimited in `memswap_limit`.
  if (text === "-1") return scalarNode("-1", node.position);
  const parsed = reportInvalid(cursor, parseBytes(text));
  return parsed === undefined ? undefined : scalarNode(String(parsed), node.position, node.text);
});

/** A size as text only, as under `deploy`. */
export const bytesText: Shape = defineShape(TEXT_SCHEMA, (cursor, stage) => {
  const node = text(cursor, stage);
  if (node?.kind === "scalar" && node.text === "-1") {
    cursor.diagnostics.error(cursor, '"-1" is not a size; leave out the key for no limit');
    return undefined;
  }
  const size = node && bytes(cursor, stage);
  // In Docker, 0 means no limit.
  return size?.kind === "scalar" && size.value === "0" ? undefined : size;
});

/** A number of CPUs. */
export const cpus: Shape = defineShape(NUMBER_OR_TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind !== "scalar" || node.value === null || typeof node.value === "boolean") {
    return reportWrongType(cursor, "a number of CPUs");
  }
  const parsed = reportInvalid(cursor, parseNanoCpus(String(node.value)));
  return parsed === undefined ? undefined : scalarNode(parsed / 1e9, node.position);
});

function scalarValueText(node: Node | undefined): string | undefined {
  return node?.kind === "scalar" ? scalarText(node) : undefined;
}
