import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runDocker } from "./docker-process.js";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-docker-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** Creates a program `docker` that runs a shell script, since Docker itself does not fail on demand. */
async function programWith(script: string): Promise<{ PATH: string }> {
  const path = join(directory, "docker");
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return { PATH: `${directory}:${process.env.PATH}` };
}

test("returns the exit code, the output and the error, which other lines can follow", async () => {
  const script =
    'read -r line; echo "$1 $line $KEY"; echo "ERROR: no such stage" >&2; echo "details: x" >&2; exit 3';
  const env = await programWith(script);
  const output: string[] = [];
  const options = { input: "text\n", env: { KEY: "value" }, onOutput: (text: string) => output.push(text) };
  expect(await runDocker({ env, signal: new AbortController().signal }, ["build"], options)).toEqual({
    exitCode: 3,
    stdout: "build text value\n",
    message: "ERROR: no such stage",
  });
  expect(output.join("")).toContain("build text value\n");
});

test("does not fail when Docker ends without reading its input", async () => {
  const env = await programWith("exit 0");
  const input = "x".repeat(1_000_000);
  const result = await runDocker({ env, signal: new AbortController().signal }, [], { input });
  expect(result.exitCode).toBe(0);
});

test("ends Docker when the signal fires", async () => {
  const env = await programWith("exec sleep 60");
  const abort = new AbortController();
  const running = runDocker({ env, signal: abort.signal }, []);
  abort.abort(new Error("interrupted"));
  await expect(running).rejects.toThrow("interrupted");
});

test("says that Docker is not installed", async () => {
  const { signal } = new AbortController();
  await expect(runDocker({ env: { PATH: directory }, signal }, [])).rejects.toMatchObject({
    code: "BERTH_ENGINE_UNAVAILABLE",
  });
});
