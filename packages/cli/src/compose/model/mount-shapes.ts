import { isPath, normalizeTarget, parseShortMount } from "../text/short-mount.js";
import { didYouMean } from "../text/suggest.js";
import type { Cursor } from "../tree/cursor.js";
import { type MapNode, mapNode, type Node, scalarNode, textOf, withEntry } from "../tree/node.js";
import {
  bytes,
  fields,
  flag,
  integer,
  keyValues,
  listOf,
  oneOf,
  reportInvalid,
  type Shape,
  text,
} from "./shape.js";

export const PROPAGATIONS = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
const SELINUX_LABELS = ["z", "Z"];
/** Options of Docker Desktop, which have no effect on Linux. */
const CONSISTENCIES = ["cached", "delegated", "consistent"];
const SHORT_OPTIONS = ["ro", "rw", "nocopy", ...PROPAGATIONS];

const target: Shape = (cursor, stage) => {
  const node = text(cursor, stage);
  return node?.kind === "scalar"
    ? scalarNode(normalizeTarget(String(node.value)), node.position, node.text)
    : undefined;
};

const tmpfsSize: Shape = (cursor, stage) => {
  const { node } = cursor;
  const isNegative = node.kind === "scalar" && String(node.value).startsWith("-");
  if (!isNegative) return bytes(cursor, stage);
  cursor.diagnostics.error(cursor, `${node.text} is less than 0`);
  return undefined;
};

const longMount = fields(
  {
    type: oneOf("bind", "volume", "tmpfs", "cluster", "npipe", "image"),
    source: text,
    target,
    read_only: flag,
    consistency: text,
    bind: fields({
      propagation: text,
      create_host_path: flag,
      recursive: oneOf("enabled", "disabled", "writable", "readonly"),
      selinux: oneOf(...SELINUX_LABELS),
    }),
    volume: fields({ labels: keyValues(""), nocopy: flag, subpath: text }),
    tmpfs: fields({ size: tmpfsSize, mode: integer }),
    image: fields({ subpath: text }),
  },
  ["type", "target"],
);

const mount: Shape = (cursor, stage) =>
  cursor.node.kind === "map" ? longMount(cursor, stage) : shortMount(cursor);

/** The mounts of a service. */
export const mounts: Shape = listOf(mount, { keyOf: (item) => textOf(item, "target") ?? "" });

function shortMount(cursor: Cursor): Node | undefined {
  const node = text(cursor, "project");
  const parsed = node?.kind === "scalar" ? reportInvalid(cursor, parseShortMount(node.text)) : undefined;
  if (parsed === undefined) return undefined;
  const { source, options } = parsed;
  const { position } = cursor;
  const isBind = isPath(source);
  for (const option of options) warnAboutOption(cursor, option);
  const bind = bindSettings(cursor, options, isBind);
  const volume = mapNode(
    options.includes("nocopy") ? [["nocopy", scalarNode(true, position)]] : [],
    position,
  );
  return mapNode(
    [
      ["type", scalarNode(isBind ? "bind" : "volume", position)],
      ...(source === "" ? [] : [["source", scalarNode(source, position)] as const]),
      ["target", scalarNode(normalizeTarget(parsed.target), position)],
      ...(options.includes("ro") ? [["read_only", scalarNode(true, position)] as const] : []),
      ...(isBind || bind.entries.size > 0 ? [["bind", bind] as const] : []),
      ...(isBind ? [] : [["volume", volume] as const]),
    ],
    position,
  );
}

function bindSettings(cursor: Cursor, options: readonly string[], isBind: boolean): MapNode {
  const { position } = cursor;
  let settings = mapNode(isBind ? [["create_host_path", scalarNode(true, position)]] : [], position);
  for (const option of options) {
    if (PROPAGATIONS.includes(option))
      settings = withEntry(settings, "propagation", scalarNode(option, position));
    if (SELINUX_LABELS.includes(option))
      settings = withEntry(settings, "selinux", scalarNode(option, position));
  }
  return settings;
}

/** Warns about an option that Docker does not have either. */
function warnAboutOption(cursor: Cursor, option: string): void {
  if (option === "" || [...SHORT_OPTIONS, ...SELINUX_LABELS, ...CONSISTENCIES].includes(option)) return;
  const hint = didYouMean(option, SHORT_OPTIONS);
  cursor.diagnostics.warn(cursor, `unknown volume option ${JSON.stringify(option)} is ignored${hint}`);
}
