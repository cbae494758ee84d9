import { didYouMean } from "../../text/suggest.js";
import { FLAG_TEXTS, keyPlace, readFlag, reportWrongType } from "../../tree/cursor.js";
import { scalarNode, scalarText } from "../../tree/node.js";
import { defineShape, type Shape } from "./shape.js";
import { TEXT_SCHEMA } from "./value-schema.js";

const INTEGER_PATTERN = /^[-+]?\d+$/;

const DECIMAL_PATTERN = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/;

/** Pattern of the texts that are booleans, in any case. */
const FLAG_TEXT = `^(?:${FLAG_TEXTS.map(anyCase).join("|")})$`;

function anyCase(word: string): string {
  return word.replace(/./g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

/** Text. Compose rejects a number or boolean here, since YAML would change how it is written (`1.10`, `0755`). */
export const text: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind === "scalar" && typeof node.value === "string") return node;
  const isUnquoted = node.kind === "scalar" && node.value !== null;
  return reportWrongType(cursor, "text", isUnquoted ? `; write ${JSON.stringify(node.text)}` : "");
});

/** Text that may be a secret: messages do not quote it. */
export const sensitiveText: Shape = defineShape(TEXT_SCHEMA, (cursor) => {
  const { node } = cursor;
  if (node.kind === "scalar" && typeof node.value === "string") return node;
  cursor.diagnostics.error(keyPlace(cursor), "must be text");
  return undefined;
});

/** Any scalar except null, as text. */
export const scalarAsText: Shape = defineShape(
  { kind: "scalar", types: ["string", "number", "boolean"] },
  (cursor) => {
    const { node } = cursor;
    if (node.kind !== "scalar" || node.value === null) return reportWrongType(cursor, "text or a number");
    return typeof node.value === "string" ? node : scalarNode(scalarText(node), node.position, node.text);
  },
);

/** One of several texts. */
export function oneOf(...choices: readonly string[]): Shape {
  return defineShape({ kind: "scalar", types: ["string"], choices }, (cursor) => {
    const node = text(cursor, "project");
    if (node?.kind !== "scalar" || choices.includes(node.text)) return node;
    const hint = didYouMean(node.text, choices);
    cursor.diagnostics.error(
      cursor,
      `${JSON.stringify(node.text)} is invalid; use ${choices.join(", ")}${hint}`,
    );
    return undefined;
  });
}

/** Text that matches a pattern. */
export function matching(pattern: RegExp, hint: string): Shape {
  return defineShape({ kind: "scalar", types: ["string"], pattern: pattern.source }, (cursor) => {
    const node = text(cursor, "project");
    if (node?.kind !== "scalar" || pattern.test(node.text)) return node;
    cursor.diagnostics.error(cursor, `${JSON.stringify(node.text)} is invalid; ${hint}`);
    return undefined;
  });
}

/** A boolean, including text such as `yes` and `off`. */
export const flag: Shape = defineShape(
  { kind: "scalar", types: ["boolean", "string"], pattern: FLAG_TEXT },
  (cursor) => {
    const value = readFlag(cursor);
    return value === undefined ? undefined : scalarNode(value, cursor.position);
  },
);

/** A whole number, which may be quoted. */
export const integer: Shape = defineShape(
  { kind: "scalar", types: ["integer", "string"], pattern: INTEGER_PATTERN.source },
  (cursor) => {
    const { node } = cursor;
    const text = node.kind === "scalar" ? String(node.value ?? "") : "";
    if (INTEGER_PATTERN.test(text)) return scalarNode(Number(text), node.position);
    return reportWrongType(cursor, "a whole number");
  },
);

/** A whole number. As in Compose, the fraction of an unquoted number is dropped. */
export const truncatedInteger: Shape = defineShape(
  { kind: "scalar", types: ["number", "string"], pattern: INTEGER_PATTERN.source },
  (cursor, stage) => {
    const { node } = cursor;
    const isNumber = node.kind === "scalar" && typeof node.value === "number";
    return isNumber ? scalarNode(Math.trunc(Number(node.value)), node.position) : integer(cursor, stage);
  },
);

/** A decimal number, which may be quoted. */
export const decimal: Shape = defineShape(
  { kind: "scalar", types: ["number", "string"], pattern: DECIMAL_PATTERN.source },
  (cursor) => {
    const { node } = cursor;
    const text = node.kind === "scalar" ? String(node.value ?? "") : "";
    if (DECIMAL_PATTERN.test(text)) return scalarNode(Number(text), node.position);
    return reportWrongType(cursor, "a number");
  },
);
