import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { findProgram, requireEtcd } from "./find-program.js";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "berth-path-"));
  mkdirSync(join(root, "first", "etcd"), { recursive: true });
  mkdirSync(join(root, "second"));
  writeFileSync(join(root, "second", "etcd"), "", { mode: 0o755 });
  vi.stubEnv("PATH", `${join(root, "first")}:${join(root, "second")}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

it("findProgram() skips a directory with the name of the program", () => {
  expect(findProgram("etcd")).toBe(join(root, "second", "etcd"));
  expect(findProgram(join(root, "first", "etcd"))).toBeUndefined();
});

it("requireEtcd() reports a program that is not on PATH, with instructions", () => {
  expect(() => requireEtcd("etcd")).not.toThrow();
  expect(() => requireEtcd("etcd-missing")).toThrow(/program etcd-missing not found: .*apt-get install etcd/);
});
