import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";

/**
 * Checks that etcd is installed.
 *
 * @throws BerthError BERTH_ETCD_MISSING with installation instructions
 */
export function requireEtcd(program: string): void {
  if (findProgram(program) !== undefined) return;
  throw new BerthError({
    code: "BERTH_ETCD_MISSING",
    message:
      `program ${program} not found: the embedded etcd needs it. ` +
      "Install it (Debian and Ubuntu: apt-get install etcd-server) or use an external etcd with --etcd URL",
  });
}

/** Returns the path of an executable, from PATH unless `name` is a path. Returns undefined if it is not found. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  const directories = (process.env.PATH ?? "").split(":").filter((directory) => directory !== "");
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
