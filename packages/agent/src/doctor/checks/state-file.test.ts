import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeFirstState } from "../../agent/state-file.js";
import { openStateDirectory } from "../../runtime/state-directory.js";
import type { CheckContext, Finding } from "../check.js";
import { checkStateFile } from "./state-file.js";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "berth-doctor-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const check = (): Promise<readonly Finding[]> => checkStateFile({ dataDir } as CheckContext);

test("a valid state is ok", async () => {
  await writeFirstState(openStateDirectory(dataDir), ["10.0.0.1:7400"]);
  expect(await check()).toMatchObject([{ verdict: "ok" }]);
});

test("a damaged state and a damaged file that was replaced are warnings, and stay as they are", async () => {
  writeFileSync(join(dataDir, "state.json"), "{");
  writeFileSync(join(dataDir, "wireguard.key.damaged"), "half a k");
  const expected = [
    {
      verdict: "warning",
      message: `${dataDir}/wireguard.key.damaged is a damaged file that the agent has replaced`,
    },
    { verdict: "warning", message: expect.stringMatching(/^the state file is damaged: .*JSON/) },
  ];
  expect(await check()).toMatchObject(expected);
  expect(await check()).toMatchObject(expected);
});

test("a host without a data directory is skipped", async () => {
  rmSync(dataDir, { recursive: true });
  expect(await check()).toMatchObject([{ verdict: "skipped" }]);
});
