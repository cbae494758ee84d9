import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConstraint } from "./constraint.js";

describe("parseConstraint", () => {
  test.each([
    ["node.labels.zone == a", "node.labels.zone", "==", ["a"]],
    ["node.labels.zone!=a", "node.labels.zone", "!=", ["a"]],
    ["  node.hostname  ==  host-1  ", "node.hostname", "==", ["host-1"]],
    ["node.platform.os==linux", "node.platform.os", "==", ["linux"]],
    ["engine.labels.com.docker/x == y z", "engine.labels.com.docker/x", "==", ["y z"]],
    ["Node.Labels.Zone == A", "node.labels.Zone", "==", ["A"]],
    ["node.labels.a == in (b)", "node.labels.a", "==", ["in (b)"]],
    ["node.ip != 192.0.2.0/24", "node.ip", "!=", ["192.0.2.0/24"]],
    ["node.ip == 2001:db8::2", "node.ip", "==", ["2001:db8::2"]],
    ["node.labels.zone in (a,b , c*)", "node.labels.zone", "in", ["a", "b", "c*"]],
    ["node.hostname NOT IN (web-1)", "node.hostname", "not in", ["web-1"]],
    ["node.labels.ssd", "node.labels.ssd", "exists", []],
    ["! engine.labels.ssd", "engine.labels.ssd", "not exists", []],
  ] as const)("takes %j", (text, attribute, operator, values) => {
    expect(parseConstraint(text)).toEqual({ kind: "constraint", attribute, operator, values });
  });

  test.each([
    "",
    "node.id",
    "!node.hostname",
    "node.id = a",
    "node.id ==",
    "node.role is manager",
    "node.labels. == a",
    "node.labels.",
    "zone == a",
    "zone in (a)",
    "node.id == a\nb",
    "node.labels.zone in ()",
    "node.labels.zone in (a,,b)",
    "node.labels.zone in a",
    "node.ip == 192.0.2",
    "node.ip == 192.0.2.0/33",
    "node.ip in (192.0.2.1, host)",
  ])("explains what is wrong with %j", (text) => {
    const parsed = parseConstraint(text);
    expect(parsed.kind).toBe("invalid");
    if (parsed.kind === "invalid") expect(parsed.reason).not.toBe("");
  });

  test("never throws, and parses a formatted constraint to the same constraint", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const parsed = parseConstraint(`node.labels.a == ${text}`);
        if (parsed.kind === "invalid") return;
        expect(parseConstraint(`${parsed.attribute}${parsed.operator}${parsed.values[0]}`)).toEqual(parsed);
      }),
    );
  });
});
