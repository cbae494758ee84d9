import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ownedDirectory } from "../../deploy/setup/owned-directory.mjs";
import { temporaryDirectory } from "./temporary-directory.js";

it("ownedDirectory removes only the directories of processes that have exited", () => {
  const parent = temporaryDirectory();
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const gone = `of-${spawnSync("true").pid}-x`;
  const others = [`of-${process.pid}-x`, "of-other", "sid"];
  for (const name of [gone, ...others]) mkdirSync(join(parent, name, "deep"), { recursive: true });
  const own = ownedDirectory(parent, "of-");
  expect(readdirSync(parent).sort()).toEqual([...others, basename(own)].sort());
});
