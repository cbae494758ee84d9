import { spawnSync } from "node:child_process";
import { SetupError } from "./setup-error.mjs";

/**
 * Returns the Debian mirror that this machine's apt uses.
 *
 * @throws {SetupError} if apt has none
 */
export function debianMirror() {
  const format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"];
  const { stdout } = spawnSync("apt-get", format, { encoding: "utf8" });
  const [uri] = (stdout ?? "").split("\n");
  if (uri) return uri;
  throw new SetupError("apt has no Debian mirror configured, or no package lists; run apt-get update");
}
