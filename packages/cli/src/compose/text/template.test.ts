// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { interpolate } from "./template.js";

const VARIABLES = new Map([
  ["FOO", "first"],
  ["EMPTY", ""],
  ["JSON", '{"a":1}'],
]);
const fill = (template: string) => interpolate(template, (name) => VARIABLES.get(name));

describe("interpolate", () => {
  test.each([
    ["$FOO:${FOO}", "first:first"],
    ["$$FOO $${FOO}", "$FOO ${FOO}"],
    ["a$ $1 $(x) $}", "a$ $1 $(x) $}"],
    ["${EMPTY:-d} ${EMPTY-d} ${NOPE-d}", "d  d"],
    ["${FOO:+yes} ${NOPE:+yes} ${EMPTY+yes} ${EMPTY:+yes}", "yes  yes "],
    ["${NOPE:-${EMPTY:-${FOO}}}", "first"],
    ["${NOPE:-$$x}", "$x"],
    ["${NOPE:-a}b}", "ab}"],
    ['${NOPE:-{"a":1}}', '{"a":1}'],
    ["${FOO?a-b}", "first"],
    ["${JSON}", '{"a":1}'],
  ])("%s becomes %s", (template, text) => {
    expect(fill(template)).toEqual({ kind: "text", text, unset: [] });
  });

  test("lists the unset variables", () => {
    expect(fill("${NOPE} $NOPE2 ${NOPE}")).toEqual({ kind: "text", text: "  ", unset: ["NOPE", "NOPE2"] });
  });

  test.each(["${", "${}", "${A B}", "${A/x/y}", "${A:=x}", "${#A}"])("rejects %s", (template) => {
    expect(fill(template).kind).toBe("invalid");
  });

  test("names a missing required variable with its message", () => {
    expect(fill("${NOPE:?set it to $FOO}")).toEqual({
      kind: "invalid",
      message: "required variable NOPE is not set: set it to first",
    });
  });

  test("keeps text without dollar signs, and never throws", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const result = fill(text);
        if (!text.includes("$")) expect(result).toEqual({ kind: "text", text, unset: [] });
      }),
    );
  });
});
