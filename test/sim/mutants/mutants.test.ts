import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

test.each(MUTANTS)(
  "the text to replace for the planted bug $name occurs exactly once",
  ({ file, search }) => {
    expect(readFileSync(`${ROOT}${file}`, "utf8").split(search)).toHaveLength(2);
  },
);
