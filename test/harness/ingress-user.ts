import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { DEFAULT_USER } from "../../packages/agent/src/agent/ingress-user.js";
import { commandAs } from "../../packages/agent/src/dataplane/ingress-privileges.js";

/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_NET_RAW: bits 10, 12 and 13 of capabilities(7). */
export const INGRESS_CAPABILITIES = (2 ** 10 + 2 ** 12 + 2 ** 13).toString(16).padStart(16, "0");

/** Returns whether users other than root can run a program, which they cannot if it is below /root. */
export function isInstalledForAll(entryPath: string): boolean {
  const [program = "", ...args] = commandAs(DEFAULT_USER, [process.execPath, "--check", entryPath]);
  return spawnSync(program, args).status === 0;
}

/** Returns the lines of /proc/PID/status that show a process's user and privileges. */
export function privilegesOf(processId: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${processId}/status`, "utf8").split("\n");
  const entries = lines.map((line) => line.split(":\t") as [string, string]);
  return Object.fromEntries(entries.filter(([name]) => /^(Uid|Gid|Groups|Cap...|NoNewPrivs)$/.test(name)));
}
