import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ownedFolder } from "../../deploy/setup/owned-folder.mjs";
import { temporaryFolder } from "./temporary-folder.js";

it("removes the folders of ended processes only", () => {
  const parent = temporaryFolder();
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const gone = `of-${spawnSync("true").pid}-x`;
  const others = [`of-${process.pid}-x`, "of-other", "sid"];
  for (const name of [gone, ...others]) mkdirSync(join(parent, name, "deep"), { recursive: true });
  const own = ownedFolder(parent, "of-");
  expect(readdirSync(parent).sort()).toEqual([...others, basename(own)].sort());
});
