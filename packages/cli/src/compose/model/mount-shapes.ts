import { isPath, normalizeTarget, PROPAGATIONS, parseShortMount } from "../text/short-mount.js";
import { didYouMean } from "../text/suggest.js";
import type { Cursor } from "../tree/cursor.js";
import { type MapNode, mapNode, type Node, scalarNode, textOf, withEntry } from "../tree/node.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf } from "./shapes/list-shapes.js";
import { fields, key } from "./shapes/map-shapes.js";
import { bytes } from "./shapes/quantity-shapes.js";
import { flag, integer, oneOf, text } from "./shapes/scalar-shapes.js";
import { defineShape, reportInvalid, type Shape } from "./shapes/shape.js";
import { choiceOf, TEXT_SCHEMA } from "./shapes/value-schema.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

const SELINUX_LABELS = ["z", "Z"];
/** Consistency options of Docker Desktop, which have no effect on Linux. */
const CONSISTENCIES = ["cached", "delegated", "consistent"];
const SHORT_OPTIONS = ["ro", "rw", "nocopy", ...PROPAGATIONS];

const target = defineShape(TEXT_SCHEMA, (cursor, stage) => {
  const node = text(cursor, stage);
  if (node?.kind !== "scalar") return undefined;
  // Compose cleans an empty path to ".", which is not a valid target either.
  return scalarNode(normalizeTarget(String(node.value)) || ".", node.position, node.text);
});

const tmpfsSize = defineShape(bytes.schema, (cursor, stage) => {
  const { node } = cursor;
  const isNegative = node.kind === "scalar" && String(node.value).startsWith("-");
  if (!isNegative) return bytes(cursor, stage);
  cursor.diagnostics.error(cursor, `${node.text} is less than 0`);
  return undefined;
});

const VOLUME_EXAMPLE = { with: { type: "volume", source: "data" } };
const BIND_EXAMPLE = { with: { type: "bind", source: "/etc/app" } };
const TMPFS_EXAMPLE = { with: { type: "tmpfs" } };
const IMAGE_EXAMPLE = { with: { type: "image", source: "tools" } };

const bindFields = fields({
  propagation: key(
    oneOf(...PROPAGATIONS),
    "Mount propagation between the host and the containers",
    "rslave",
    BIND_EXAMPLE,
  ),
  create_host_path: key(flag, "Creates the path on the host if it does not exist", true, {
    ...BIND_EXAMPLE,
    ...REJECTED_BY_SWARM,
  }),
  recursive: key(
    oneOf("enabled", "disabled", "writable", "readonly"),
    "Recursive mounting of mounts below the path",
    "disabled",
    { ...BIND_EXAMPLE, ...REJECTED_BY_SWARM },
  ),
  selinux: key(oneOf(...SELINUX_LABELS), "SELinux label: z (shared) or Z (private)", "z", {
    ...BIND_EXAMPLE,
    ...REJECTED_BY_SWARM,
  }),
});

const volumeFields = fields({
  labels: key(
    keyValues(""),
    "Labels of an anonymous volume",
    { a: "b" },
    { ...VOLUME_EXAMPLE, ...REJECTED_BY_SWARM },
  ),
  nocopy: key(flag, "Does not copy files from the image into the volume", true, VOLUME_EXAMPLE),
  subpath: key(text, "Directory in the volume", "app", { ...VOLUME_EXAMPLE, ...REJECTED_BY_SWARM }),
});

const longMount = fields(
  {
    type: key(oneOf("bind", "volume", "tmpfs", "cluster", "npipe", "image"), "Type of the mount", "tmpfs", {
      others: ["cluster", "npipe", "image"],
    }),
    source: key(text, "Volume, path on the host, or image", "data", { with: { type: "volume" } }),
    target: key(target, "Path in the containers", "/data"),
    read_only: key(flag, "Makes the mount read-only", true),
    consistency: key(text, "Consistency hint for Docker Desktop", "cached", { hasNoEffect: true }),
    bind: key(bindFields, "Bind mount options", { propagation: "rslave" }, BIND_EXAMPLE),
    volume: key(volumeFields, "Volume mount options", { nocopy: true }, VOLUME_EXAMPLE),
    tmpfs: key(
      fields({
        size: key(tmpfsSize, "Maximum size", "64m", TMPFS_EXAMPLE),
        mode: key(integer, "Permission bits", 0o700, { ...TMPFS_EXAMPLE, ...REJECTED_BY_SWARM }),
      }),
      "tmpfs options",
      { size: "64m" },
      TMPFS_EXAMPLE,
    ),
    image: key(
      fields({
        subpath: key(text, "Directory in the image", "app", { ...IMAGE_EXAMPLE, ...REJECTED_BY_SWARM }),
      }),
      "Image mount options",
      { subpath: "app" },
      { ...IMAGE_EXAMPLE, ...REJECTED_BY_SWARM },
    ),
  },
  ["type", "target"],
);

const mount = defineShape(choiceOf(text.schema, longMount.schema), (cursor, stage) =>
  cursor.node.kind === "map" ? longMount(cursor, stage) : shortMount(cursor),
);

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
  const entries: [key: string, value: Node][] = [["type", scalarNode(isBind ? "bind" : "volume", position)]];
  if (source !== "") entries.push(["source", scalarNode(source, position)]);
  entries.push(["target", scalarNode(normalizeTarget(parsed.target), position)]);
  if (options.includes("ro")) entries.push(["read_only", scalarNode(true, position)]);
  if (isBind || bind.entries.size > 0) entries.push(["bind", bind]);
  if (!isBind) entries.push(["volume", volume]);
  return mapNode(entries, position);
}

function bindSettings(cursor: Cursor, options: readonly string[], isBind: boolean): MapNode {
  const { position } = cursor;
  let settings = mapNode(isBind ? [["create_host_path", scalarNode(true, position)]] : [], position);
  for (const option of options) {
    if (PROPAGATIONS.includes(option)) {
      settings = withEntry(settings, "propagation", scalarNode(option, position));
    }
    if (SELINUX_LABELS.includes(option)) {
      settings = withEntry(settings, "selinux", scalarNode(option, position));
    }
  }
  return settings;
}

/** Warns about an option that Docker does not support either. */
function warnAboutOption(cursor: Cursor, option: string): void {
  if (option === "" || [...SHORT_OPTIONS, ...SELINUX_LABELS, ...CONSISTENCIES].includes(option)) return;
  const hint = didYouMean(option, SHORT_OPTIONS);
  cursor.diagnostics.warn(cursor, `unknown volume option ${JSON.stringify(option)} is ignored${hint}`);
}
