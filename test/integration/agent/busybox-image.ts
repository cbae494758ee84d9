import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { IMAGE } from "./specs.js";

const exec = promisify(execFile);
const APPLETS = [
  "sh",
  "sleep",
  "echo",
  "cat",
  "env",
  "hostname",
  "true",
  "false",
  "seq",
  "nc",
  "id",
  "mount",
  "stty",
];

/** Creates an image from the machine's BusyBox, and imports it into the daemons at these sockets. */
export async function importBusybox(sockets: readonly string[]): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "berth-image-"));
  try {
    await mkdir(join(root, "bin"));
    await cp("/bin/busybox", join(root, "bin/busybox"));
    for (const applet of APPLETS) await symlink("busybox", join(root, "bin", applet));
    await exec("tar", ["-C", root, "-cf", `${root}.tar`, "."]);
    for (const socket of sockets) {
      await exec("docker", ["-H", `unix://${socket}`, "import", `${root}.tar`, IMAGE]);
    }
  } finally {
    await rm(root, { recursive: true, force: true });
    await rm(`${root}.tar`, { force: true });
  }
}
