import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type BerthResult, berth } from "../../packages/cli/src/testing/run-berth.js";
import { mountSmallDisk, type SmallDisk } from "../harness/small-disk.js";

let disk: SmallDisk;
const run = (line: string): Promise<BerthResult> => berth(line, {}, { env: { BERTH_CONFIG: disk.path } });

beforeEach(async () => {
  disk = mountSmallDisk(1);
  expect((await run("context create prod --server unix:/run/a.sock")).code).toBe(0);
});
afterEach(() => disk.remove());

test("a full or read-only disk of the configuration is named, and the saved contexts stay", async () => {
  const create = () => run("context create test --server unix:/run/b.sock");
  disk.fill();
  const full = await create();
  expect([full.code, full.err]).toEqual([2, expect.stringContaining(`${disk.path}/config.json`)]);
  expect(full.err).toContain("the disk is full; free some space on it");
  disk.free();
  disk.setReadOnly(true);
  expect((await create()).err).toContain("the file system is read-only");
  expect((await run("context ls")).out).toMatch(/prod/);
  disk.setReadOnly(false);
  expect((await create()).code).toBe(0);
  expect((await run("context ls")).out).toMatch(/prod[\s\S]*test/);
});

test("a damaged configuration is named, and never overwritten", async () => {
  const path = join(disk.path, "config.json");
  writeFileSync(path, '{"current":"prod","contexts":{"pr');
  for (const line of ["context create test --server unix:/run/b.sock", "context ls"]) {
    const { code, err } = await run(line);
    expect([code, err]).toEqual([2, expect.stringMatching(/cannot read contexts from .*config\.json/)]);
  }
  expect(readFileSync(path, "utf8")).toBe('{"current":"prod","contexts":{"pr');
});
