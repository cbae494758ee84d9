import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
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
