import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { loadText } from "../testing/load-text.js";

const STACKS = new URL("../../../../deploy/stacks/", import.meta.url);

test.each(readdirSync(STACKS))("the example stack %s loads without warnings", (name) => {
  const { specs, messages } = loadText(readFileSync(new URL(`${name}/compose.yml`, STACKS)));
  expect(messages).toEqual([]);
  expect(specs.length).toBeGreaterThan(0);
});
