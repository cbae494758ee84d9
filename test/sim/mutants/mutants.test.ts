import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

test.each(MUTANTS)("the place where $name is planted is there, once", ({ file, search }) => {
  expect(readFileSync(`${ROOT}${file}`, "utf8").split(search)).toHaveLength(2);
});
