import type { Mount } from "@berth/proto";
import { parseTmpfs } from "../../compose/text/tmpfs-options.js";
import { invalidOptionError } from "../../options/parse-options.js";

/** Converts Docker's `-v SOURCE:TARGET[:ro]` to a value of `--mount`. A source with a slash is a path on the node. */
export function parseVolumeOption(text: string): string {
  const parts = text.split(":");
  const [first = "", second, mode] = parts;
  const isMode = mode === undefined || mode === "ro" || mode === "rw";
  if (parts.length > 3 || !isMode || text.includes(",") || first === "") {
    throw invalidOptionError(
      "--volume",
      `${JSON.stringify(text)} is not SOURCE:TARGET[:ro]; --mount has more settings`,
    );
  }
  if (second === undefined) return `type=volume,target=${first}`;
  if (first.startsWith(".") || first.startsWith("~")) {
    throw invalidOptionError(
      "--volume",
      `${JSON.stringify(first)} is not a path on a node; use an absolute path`,
    );
  }
  const type = first.startsWith("/") ? "bind" : "volume";
  return `type=${type},source=${first},target=${second}${mode === "ro" ? ",readonly" : ""}`;
}

/** Converts Docker's `--tmpfs TARGET[:OPTIONS]` to a mount. */
export function parseTmpfsOption(text: string): Mount {
  const parsed = parseTmpfs(text);
  if (parsed.kind === "invalid") throw invalidOptionError("--tmpfs", parsed.reason);
  const { target, readOnly, mount } = parsed.value;
  return { target, readOnly, kind: { $case: "tmpfs", value: mount } };
}
