import { TmpfsMount } from "@berth/proto";
import { invalid, type Parsed, valid } from "./parsed.js";
import { parseBytes } from "./units.js";

/** The value of `tmpfs`, such as `/run:size=64m,mode=1777,uid=1000,exec`. */
export interface ShortTmpfs {
  readonly target: string;
  readonly readOnly: boolean;
  readonly mount: TmpfsMount;
}

/** Parses a tmpfs. Options other than its size and mode are kept as they are; the spec is validated later. */
export function parseTmpfs(text: string): Parsed<ShortTmpfs> {
  const colon = text.indexOf(":");
  const target = colon < 0 ? text : text.slice(0, colon);
  const options = colon < 0 ? [] : text.slice(colon + 1).split(",");
  const mount = TmpfsMount.fromPartial({});
  let readOnly = false;
  for (const option of options) {
    const [name = "", value = ""] = splitOption(option.trim());
    if (name === "size" && !value.endsWith("%")) {
      const size = parseBytes(value);
      if (size.kind === "invalid") return size;
      mount.sizeBytes = size.value;
    } else if (name === "mode") {
      if (!/^[0-7]{1,5}$/.test(value)) {
        return invalid(`${JSON.stringify(value)} is not an octal number such as 1777`);
      }
      mount.mode = Number.parseInt(value, 8);
    } else if (name === "ro") {
      readOnly = true;
    } else if (name !== "" && name !== "rw") {
      mount.options.push(option.trim());
    }
  }
  return valid({ target, readOnly, mount });
}

function splitOption(option: string): readonly [name: string, value: string] {
  const equals = option.indexOf("=");
  return equals < 0 ? [option, ""] : [option.slice(0, equals), option.slice(equals + 1)];
}
