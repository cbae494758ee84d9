import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { Cleanup } from "./ingress-harness.js";

const MODULE = fileURLToPath(
  new URL("../../packages/agent/dist/dataplane/kernel/table-watch.js", import.meta.url),
);
const PROGRAM = `
  const { TableWatch } = await import(${JSON.stringify(MODULE)});
  new TableWatch({ log: console, onChainDeleted() {}, onForeignChainChanged() {} });
  process.stdin.on("end", () => process.exit()).resume();
`;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Returns the contents of a file of /proc, or "" when the process does not exist. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

it("nft monitor exits when the ingress process is killed", async () => {
  const parent = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  cleanup.add(() => parent.kill("SIGKILL"));
  const children = (): string => read(`/proc/${parent.pid}/task/${parent.pid}/children`).trim();
  const command = (pid: string): string => read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  await expect.poll(() => command(children())).toBe("nft monitor chains");
  const monitor = children();
  parent.kill("SIGKILL");
  await expect.poll(() => command(monitor)).toBe("");
});
