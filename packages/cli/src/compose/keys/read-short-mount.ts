import { isPath, parseShortMount } from "../text/parse-mount.js";
import { parseBytes } from "../text/units.js";
import { type Cursor, readText } from "../tree/cursor.js";
import { type MountDraft, newMount, PROPAGATIONS } from "./mount-draft.js";

/** What Docker Desktop made of these does not exist on Linux. */
const CONSISTENCIES = ["cached", "delegated", "consistent"];
const SELINUX_LABELS = ["z", "Z"];

/** `data:/var/lib/data:ro` */
export function readShortMount(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const parsed = parseShortMount(text);
  if (parsed.kind === "invalid") {
    cursor.diagnostics.error(cursor, parsed.reason);
    return undefined;
  }
  const { source, target, options } = parsed.value;
  const type = isPath(source) ? "bind" : "volume";
  const mount: MountDraft = { ...newMount(), type, source, target, createHostPath: true };
  for (const option of options) applyOption(cursor, mount, option);
  return mount;
}

function applyOption(cursor: Cursor, mount: MountDraft, option: string): void {
  if (option === "ro") mount.readOnly = true;
  else if (option === "nocopy") mount.noCopy = true;
  else if (PROPAGATIONS.includes(option)) mount.propagation = option;
  else if (SELINUX_LABELS.includes(option)) {
    cursor.diagnostics.warn(cursor, `not supported yet: SELinux labels; ${option} has no effect`);
  } else if (option !== "rw" && option !== "" && !CONSISTENCIES.includes(option)) {
    cursor.diagnostics.warn(cursor, `unknown option ${JSON.stringify(option)} of a volume has no effect`);
  }
}

/** `/run:size=64m,mode=1777`. */
export function readTmpfs(cursor: Cursor): MountDraft | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const [target = "", options = ""] = text.split(":");
  const mount: MountDraft = { ...newMount(), type: "tmpfs", target };
  for (const option of options.split(",").filter((entry) => entry !== ""))
    applyTmpfsOption(cursor, mount, option);
  return mount;
}

function applyTmpfsOption(cursor: Cursor, mount: MountDraft, option: string): void {
  const [, name, value = ""] = /^(size|mode)=(.*)$/.exec(option) ?? [];
  if (name === "size") {
    const size = parseBytes(value);
    if (size.kind === "value") mount.tmpfs.sizeBytes = size.value;
    else cursor.diagnostics.error(cursor, size.reason);
  } else if (name === "mode" && /^[0-7]+$/.test(value)) mount.tmpfs.mode = Number.parseInt(value, 8);
  else if (option === "ro") mount.readOnly = true;
  else
    cursor.diagnostics.warn(cursor, `not supported yet: ${JSON.stringify(option)} of a tmpfs has no effect`);
}
