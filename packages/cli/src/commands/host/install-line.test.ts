import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installLine } from "./install-line.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-install-"));
});
afterEach(() => rm(directory, { recursive: true }));

const script = `printf 'backslash \\\\n, servers: %s, token: ' "$*"\ncat\n`;
const line = installLine({
  script,
  url: "https://10.0.0.1:7400/install.sh",
  servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
  token: "berth-node-x",
});

/** Runs the line on a host that downloads this text. */
async function runLine(downloaded: string): Promise<string> {
  await writeFile(join(directory, "script"), downloaded);
  await writeFile(join(directory, "curl"), `#!/bin/sh\ncat ${directory}/script\n`);
  await chmod(join(directory, "curl"), 0o755);
  const env = { PATH: `${directory}:${process.env.PATH}` };
  const { status, stdout, stderr } = spawnSync("sh", ["-c", line], { env, encoding: "utf8" });
  return `${status} ${stdout}${stderr}`;
}

test("installLine() runs the script with the servers as arguments and the token on standard input", async () => {
  expect(await runLine(script)).toBe(
    "0 backslash \\n, servers: 10.0.0.1:7400 10.0.0.2:7400, token: berth-node-x\n",
  );
});

test("installLine() runs nothing that has another checksum", async () => {
  expect(await runLine(script.replace("servers", "thieves"))).toBe(
    "1 berth is not installed: no download, another checksum, or an error above\n",
  );
});
