import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";

/** @throws BerthError BERTH_ETCD_MISSING, saying how to install it */
export function requireEtcd(program: string): void {
  if (findProgram(program) !== undefined) return;
  throw new BerthError({
    code: "BERTH_ETCD_MISSING",
    message:
      `The program ${program} was not found, and without --etcd URL berth keeps its state in an etcd that it starts itself. ` +
      "Install it (Debian and Ubuntu: apt-get install etcd-server), or name a running etcd with --etcd URL.",
  });
}

/** The path of a program on the PATH, or of the file if the name is a path already; undefined if it cannot be run. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return isExecutable(name) ? name : undefined;
  const folders = (process.env.PATH ?? "").split(":").filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
