import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConstraint } from "./constraint.js";

describe("parseConstraint", () => {
  test.each([
    ["node.labels.zone == a", "node.labels.zone", "==", "a"],
    ["node.labels.zone!=a", "node.labels.zone", "!=", "a"],
    ["  node.hostname  ==  host-1  ", "node.hostname", "==", "host-1"],
    ["node.platform.os==linux", "node.platform.os", "==", "linux"],
    ["engine.labels.com.docker/x == y z", "engine.labels.com.docker/x", "==", "y z"],
  ] as const)("takes %j", (text, attribute, operator, value) => {
    expect(parseConstraint(text)).toEqual({ kind: "constraint", attribute, operator, value });
  });

  test.each([
    "",
    "node.id",
    "node.id = a",
    "node.id ==",
    "node.role is manager",
    "node.labels. == a",
    "zone == a",
    "node.id == a\nb",
  ])("explains what is wrong with %j", (text) => {
    const parsed = parseConstraint(text);
    expect(parsed.kind).toBe("invalid");
    if (parsed.kind === "invalid") expect(parsed.reason).not.toBe("");
  });

  test("never throws, and what it takes keeps its meaning when written again", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const parsed = parseConstraint(`node.labels.a == ${text}`);
        if (parsed.kind === "invalid") return;
        expect(parseConstraint(`${parsed.attribute}${parsed.operator}${parsed.value}`)).toEqual(parsed);
      }),
    );
  });
});
