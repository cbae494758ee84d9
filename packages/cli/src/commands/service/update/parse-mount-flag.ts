import type { Mount } from "@berth/proto";
import { type Parsed, parseBytes } from "../../../compose/text/units.js";
import { invalid, value } from "./flag-values.js";
import { parseFields } from "./parse-fields.js";

const KEYS = [
  ...["type", "source", "src", "target", "dst", "destination", "readonly", "ro"],
  ...["bind-propagation", "bind-create-src", "volume-driver", "volume-nocopy", "tmpfs-size", "tmpfs-mode"],
] as const;

type Fields = { readonly [key: string]: string | undefined };
type Kind = NonNullable<Mount["kind"]>;

/** `type=volume,source=data,target=/data,readonly`, in Docker's words. */
export function parseMountFlag(text: string): Parsed<Mount> {
  const parsed = parseFields<string>(text, KEYS);
  if (parsed.kind === "invalid") return parsed;
  const fields: Fields = parsed.value;
  const target = fields.target ?? fields.dst ?? fields.destination;
  if (target === undefined || target === "") return invalid("a mount needs target=/PATH");
  const kind = parseKind(fields);
  if (kind.kind === "invalid") return kind;
  return value({ target, readOnly: isOn(fields.readonly ?? fields.ro), kind: kind.value });
}

function parseKind(fields: Fields): Parsed<Kind> {
  const source = fields.source ?? fields.src ?? "";
  switch (fields.type ?? "volume") {
    case "volume":
      return value({ $case: "volume", value: volume(source, fields) });
    case "bind":
      if (source === "") return invalid("a bind needs source=/PATH, a path on the node");
      return value({
        $case: "bind",
        value: {
          source,
          propagation: fields["bind-propagation"] ?? "",
          createHostPath: isOn(fields["bind-create-src"]),
        },
      });
    case "tmpfs":
      return source === "" ? parseTmpfs(fields) : invalid("a tmpfs has no source");
    default:
      return invalid(`${JSON.stringify(fields.type)} is not possible as type: use volume, bind or tmpfs`);
  }
}

function volume(name: string, fields: Fields): Extract<Kind, { $case: "volume" }>["value"] {
  const driver = fields["volume-driver"] ?? "";
  return { name, driver, driverOpts: {}, labels: {}, noCopy: isOn(fields["volume-nocopy"]) };
}

function parseTmpfs(fields: Fields): Parsed<Kind> {
  const size = parseBytes(fields["tmpfs-size"] ?? "0");
  if (size.kind === "invalid") return size;
  const modeText = fields["tmpfs-mode"] ?? "0";
  if (!/^[0-7]{1,5}$/.test(modeText)) {
    return invalid(`tmpfs-mode: ${JSON.stringify(modeText)} is not an octal number like 1777`);
  }
  return value({ $case: "tmpfs", value: { sizeBytes: size.value, mode: Number.parseInt(modeText, 8) } });
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && ["true", "1", "yes", "on"].includes(text.toLowerCase());
}
