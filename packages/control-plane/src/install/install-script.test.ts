import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { installScript } from "./install-script.js";

const amd64 = { architecture: "amd64", name: "berth_0.2.0_amd64.deb", sha256: "a".repeat(64) };
const any = { architecture: "all", name: "berth_0.2.0_all.deb", sha256: "b".repeat(64) };

function casesOf(script: string): string {
  return script.slice(script.indexOf("case $architecture in"), script.indexOf("esac") + 4);
}

test("installScript() returns a valid script, which ends with one newline", () => {
  const script = installScript("0.2.0", [amd64]);
  expect(spawnSync("sh", ["-n"], { input: script, encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
  expect(script.endsWith("\n")).toBe(true);
  expect(script.endsWith("\n\n")).toBe(false);
});

test("installScript() selects the package of the host's architecture", () => {
  expect(casesOf(installScript("0.2.0", [amd64]))).toBe(`case $architecture in
amd64) name=berth_0.2.0_amd64.deb sum=${"a".repeat(64)} ;;
*) fail "this cluster has no package for $architecture; see docs/hosts.md" ;;
esac`);
});

test("installScript() prefers a package with Node.js to one without", () => {
  expect(casesOf(installScript("0.2.0", [any, amd64]))).toBe(`case $architecture in
amd64) name=berth_0.2.0_amd64.deb sum=${"a".repeat(64)} ;;
*) name=berth_0.2.0_all.deb sum=${"b".repeat(64)} ;;
esac`);
});

test("the script explains how to run it", () => {
  const { status, stderr } = spawnSync("sh", ["-c", installScript("0.2.0", [amd64])], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 1, stderr: "berth: usage: sh install.sh SERVER... <TOKEN\n" });
});

/** Runs the script for a host that has joined, with programs that do nothing. `curl` is the shell code of a download. */
async function runScript(script: string, curl: string) {
  const directory = await mkdtemp(join(tmpdir(), "berth-install-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const bin = join(directory, "bin");
  const log = join(directory, "installed");
  await mkdir(bin);
  await writeFile(log, "");
  const programs = {
    id: "echo 0",
    dpkg: "echo amd64",
    "dpkg-query": "exit 1",
    dockerd: "",
    systemctl: "",
    curl,
    "apt-get": `for file; do :; done; cat "$file" >>${log}`,
  };
  for (const [name, code] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${code}\n`);
    await chmod(join(bin, name), 0o755);
  }
  const runnable = script
    .replaceAll("/run/systemd/system", directory)
    .replaceAll("/var/lib/berth/agent/identity/certificate.pem", log);
  const { status, stderr } = spawnSync("sh", ["-c", runnable, "install.sh", "10.0.0.1:7400"], {
    input: "token\n",
    encoding: "utf8",
    env: { PATH: `${bin}:${process.env.PATH}` },
  });
  return { status, stderr, installed: await readFile(log, "utf8") };
}

test.each([
  { name: "a package", curl: "printf package", installed: "package" },
  { name: "nothing from a download that fails", curl: "printf package; exit 18", installed: "" },
  { name: "nothing with another checksum", curl: "printf other", installed: "" },
])("the script installs $name", async ({ curl, installed }) => {
  const sha256 = createHash("sha256").update("package").digest("hex");
  const result = await runScript(installScript("0.2.0", [{ ...amd64, sha256 }]), curl);
  expect(result).toMatchObject({ installed, status: installed === "" ? 1 : 0 });
  if (installed === "") expect(result.stderr).toContain("no server sent berth_0.2.0_amd64.deb");
});
