import { assertNever, type Mount } from "@berth/proto";
import {
  type MountDraft,
  type MountType,
  mountRules,
  newMountDraft,
} from "../../../compose/keys/mount-draft.js";
import { invalid, type Parsed, valid } from "../../../compose/text/parsed.js";
import { normalizeTarget } from "../../../compose/text/short-mount.js";
import { type Cursor, readFlag, readOneOf, readText } from "../../../compose/tree/cursor.js";
import { type KeyTable, rule } from "../../../compose/tree/key-table.js";
import { applyFlagFields } from "./flag-fields.js";

type MountKind = NonNullable<Mount["kind"]>;

/** Parses the value of `--mount-add`, such as `type=volume,source=data,target=/data,readonly`, with Docker's keys. */
export function parseMountFlag(text: string): Parsed<Mount> {
  const mount: MountFlagDraft = {
    ...newMountDraft(),
    type: "volume",
    driver: "",
    driverOpts: valuesOf(text, "volume-opt"),
    volumeLabels: valuesOf(text, "volume-label"),
  };
  const problem = applyFlagFields(text, MOUNT_FLAG_KEYS, mount) ?? findTypeConflict(text, mount);
  if (problem !== undefined) return invalid(problem);
  if (mount.target === "") return invalid("the mount has no target; set target=/PATH");
  const parsed = parseMountKind(mount);
  if (parsed.kind === "invalid") return parsed;
  return valid({ target: normalizeTarget(mount.target), readOnly: mount.readOnly, kind: parsed.value });
}

/** A mount while the fields of the flag are read. */
interface MountFlagDraft extends MountDraft {
  driver: string;
  readonly driverOpts: Readonly<Record<string, string>>;
}

/** Returns the values of a repeated key: `volume-opt=type=nfs,volume-opt=o=soft`. A value without `=` is empty. */
function valuesOf(text: string, key: string): Readonly<Record<string, string>> {
  const prefix = `${key}=`;
  const pairs = text.split(",").flatMap((field) => {
    const trimmed = field.trim();
    if (!trimmed.toLowerCase().startsWith(prefix)) return [];
    const [name = "", ...value] = trimmed.slice(prefix.length).split("=");
    return [[name, value.join("=")] as const];
  });
  return Object.fromEntries(pairs);
}

const MOUNT_RULES = mountRules(readFlagBoolean);

const MOUNT_FLAG_KEYS: KeyTable<MountFlagDraft> = {
  type: rule(readType, (mount, type) => {
    mount.type = type;
  }),
  source: MOUNT_RULES.source,
  src: MOUNT_RULES.source,
  target: MOUNT_RULES.target,
  dst: MOUNT_RULES.target,
  destination: MOUNT_RULES.target,
  readonly: MOUNT_RULES.readOnly,
  ro: MOUNT_RULES.readOnly,
  "bind-propagation": MOUNT_RULES.propagation,
  "bind-create-src": MOUNT_RULES.createHostPath,
  "bind-recursive": rule(
    (cursor) => readOneOf(cursor, ["enabled", "disabled", "writable", "readonly"]),
    (mount, recursive) => {
      mount.recursive = recursive === "enabled" ? "" : recursive;
    },
  ),
  "volume-driver": rule(readText, (mount, driver) => {
    mount.driver = driver;
  }),
  "volume-nocopy": MOUNT_RULES.noCopy,
  "volume-subpath": rule(readText, setSubpath),
  // Repeated keys, which `valuesOf` reads.
  "volume-opt": () => {},
  "volume-label": () => {},
  "image-subpath": rule(readText, setSubpath),
  "tmpfs-size": MOUNT_RULES.tmpfsSize,
  "tmpfs-mode": rule(readOctal, (mount, mode) => {
    mount.tmpfs.mode = mode;
  }),
};

function readType(cursor: Cursor): MountType | undefined {
  return readOneOf(cursor, ["volume", "bind", "tmpfs", "image"]);
}

function setSubpath(mount: MountDraft, subpath: string): void {
  mount.subpath = subpath;
}

/** Reads a boolean, including `1` and `0`, which Docker accepts in flags. */
function readFlagBoolean(cursor: Cursor): boolean | undefined {
  const text = cursor.node.kind === "scalar" ? cursor.node.text : "";
  return text === "1" || text === "0" ? text === "1" : readFlag(cursor);
}

function readOctal(cursor: Cursor): number | undefined {
  const text = readText(cursor) ?? "";
  if (/^[0-7]{1,5}$/.test(text)) return Number.parseInt(text, 8);
  cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is not an octal number such as 1777`);
  return undefined;
}

/** Returns why an option cannot be combined with the type of the mount, or undefined if all can. */
function findTypeConflict(text: string, { type }: MountFlagDraft): string | undefined {
  for (const field of text.split(",")) {
    const [key = ""] = field.trim().toLowerCase().split("=");
    const [, prefix] = /^(bind|volume|tmpfs|image)-/.exec(key) ?? [];
    if (prefix !== undefined && prefix !== type) return `${key} cannot be combined with type=${type}`;
  }
  return undefined;
}

function parseMountKind(mount: MountFlagDraft): Parsed<MountKind> {
  const { type = "volume", source, subpath } = mount;
  switch (type) {
    case "bind": {
      if (source === "") return invalid("the bind mount has no source; set source=/PATH, a path on the node");
      const { propagation, createHostPath, selinux, recursive } = mount;
      return valid({ $case: "bind", value: { source, propagation, createHostPath, selinux, recursive } });
    }
    case "tmpfs":
      if (source !== "") return invalid("a tmpfs mount cannot have a source; remove source");
      return valid({ $case: "tmpfs", value: mount.tmpfs });
    case "image":
      if (source === "") return invalid("the image mount has no source; set source=IMAGE");
      return valid({ $case: "image", value: { image: source, subpath } });
    case "volume": {
      const { driver, noCopy, driverOpts, volumeLabels } = mount;
      const options = { driverOpts: { ...driverOpts }, labels: { ...volumeLabels } };
      return valid({ $case: "volume", value: { name: source, driver, noCopy, subpath, ...options } });
    }
    default:
      return assertNever(type);
  }
}
