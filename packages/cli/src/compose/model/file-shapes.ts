import { parsePermissionBits } from "../text/units.js";
import { type Cursor, reportWrongType } from "../tree/cursor.js";
import { fileTarget } from "../tree/merge-rules.js";
import { type MapNode, mapNode, scalarNode, textOf, withEntry } from "../tree/node.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { fields, key } from "./shapes/map-shapes.js";
import { flag, text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape, type Stage } from "./shapes/shape.js";
import { choiceOf, listSchema, TEXT_SCHEMA } from "./shapes/value-schema.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

/** Directory of a secret that has no target. */
const SECRETS_DIRECTORY = "/run/secrets";

/**
 * Permission bits. Text is octal, as in `chmod`. A number has the value that YAML gives it: 0440 and 0o440 are octal, and
 * 440 is decimal, as in Docker, which is rarely meant. The canonical form is octal text.
 */
export const mode: Shape = defineShape({ kind: "scalar", types: ["integer", "string"] }, (cursor) => {
  const { node } = cursor;
  const value = node.kind === "scalar" ? node.value : null;
  const bits = typeof value === "string" ? parsePermissionBits(value) : undefined;
  if (bits !== undefined) return scalarNode(octalText(bits), node.position);
  if (node.kind !== "scalar" || typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    return reportWrongType(cursor, "permission bits such as 0440");
  }
  if (/^[1-7][0-7]*$/.test(node.text)) {
    const message = `${node.text} is a decimal number and means ${octalText(value)}; write 0${node.text} for the permission bits ${node.text}`;
    cursor.diagnostics.warn(cursor, message);
  }
  return scalarNode(octalText(value), node.position);
});

/** `secrets` and `configs` of a service, and the secrets of its build. A secret of the service is in `/run/secrets`. */
export function fileMounts(use: "secret" | "config" | "build secret"): Shape {
  const kind = use === "config" ? "config" : "secret";
  const target = kind === "secret" ? "/run/secrets/renamed" : "/etc/renamed.conf";
  const source = kind === "secret" ? "key" : "conf";
  const mounted = { with: { source }, compose: "no effect for files" };
  const long = fields({
    source: key(text, `The ${kind}, by its name under the top-level ${kind}s`, source),
    target: key(text, "Path in the containers", target, { with: { source } }),
    uid: key(text, "Owner of the file", "1000", mounted),
    gid: key(text, "Group of the file", "1000", mounted),
    mode: key(mode, "Permission bits of the file", "0440", { ...mounted, swarm: "rejects text" }),
  });
  const item = defineShape(choiceOf(text.schema, long.schema), (cursor, stage) => {
    const mount = cursor.node.kind === "map" ? long(cursor, stage) : shortFileMount(cursor);
    const name = textOf(mount, "source");
    if (mount?.kind !== "map" || use !== "secret" || name === undefined || mount.entries.has("target")) {
      return mount;
    }
    return withEntry(mount, "target", scalarNode(`${SECRETS_DIRECTORY}/${name}`, cursor.position));
  });
  const directory = use === "secret" ? SECRETS_DIRECTORY : "/";
  return listOf(item, { keyOf: (node) => fileTarget(node, directory) });
}

function shortFileMount(cursor: Cursor): MapNode | undefined {
  const node = text(cursor, "project");
  return node && mapNode([["source", node]], cursor.position);
}

function octalText(bits: number): string {
  return `0${bits.toString(8).padStart(3, "0")}`;
}

const longEnvFile = fields(
  {
    path: key(text, "Path of the file", "web.env", REJECTED_BY_SWARM),
    required: key(flag, "Whether a missing file is an error", false, {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
    format: key(text, "`raw` disables quotes, variables and comments in values", "raw", {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
  },
  ["path"],
);

function shortEnvFile(cursor: Cursor, stage: Stage): MapNode | undefined {
  const path = text(cursor, stage);
  return path && mapNode([["path", path]], cursor.position);
}

const envFileList = oneOrMore(
  defineShape(choiceOf(text.schema, longEnvFile.schema), (cursor, stage) => {
    const node = cursor.node.kind === "map" ? longEnvFile(cursor, stage) : shortEnvFile(cursor, stage);
    if (node?.kind !== "map" || node.entries.has("required")) return node;
    return withEntry(node, "required", scalarNode(true, cursor.position));
  }),
  { keyOf: (item) => textOf(item, "path") ?? "" },
);

/** `env_file`: text, or a list of text and mappings. */
export const envFiles: Shape = defineShape(
  choiceOf(TEXT_SCHEMA, listSchema(choiceOf(TEXT_SCHEMA, longEnvFile.schema))),
  (cursor, stage) => {
    if (cursor.node.kind === "map") return reportWrongType(cursor, "text or a list");
    return envFileList(cursor, stage);
  },
);
