import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildNode } from "../testing/records.js";
import { parseNodeConstraint } from "./node-constraint.js";

const node = buildNode({
  id: "n1",
  labels: { zone: "A", empty: "" },
  description: { hostname: "web-1", address: "192.0.2.7", engineLabels: { disk: "ssd" } },
});

describe("parseNodeConstraint", () => {
  it.each([
    ["node.id == n1", true],
    ["node.id != n1", false],
    ["node.hostname == web-1", true],
    ["node.hostname==beta", false],
    ["node.labels.zone == a", true],
    ["node.labels.zone != b", true],
    ["node.labels.Zone == a", false],
    ["node.labels.missing == a", false],
    ["node.labels.missing != a", true],
    ["engine.labels.disk == ssd", true],
    ["engine.labels.disk == hdd", false],
    ["node.platform.os == linux", true],
    ["node.platform.arch == amd64", true],
    ["node.platform.arch == x86_64", true],
    ["node.platform.arch != arm64", true],
    ["node.role == worker", true],
    ["node.role != Manager", true],
    ["node.ip == 192.0.2.7", true],
    ["node.ip == 192.0.2.0/24", true],
    ["node.ip != 192.0.2.0/24", false],
    ["node.ip in (198.51.100.0/24, 2001:db8::/32)", false],
    ["node.hostname == web-*", true],
    ["node.hostname == WEB-?", true],
    ["node.hostname == web", false],
    ["node.hostname == w?", false],
    ["node.hostname != *-1", false],
    ["node.hostname == web.1", false],
    ["node.labels.zone in (x, a)", true],
    ["node.labels.zone not in (x, a)", false],
    ["node.labels.missing not in (x, a)", true],
    ["node.labels.missing == *", false],
    ["node.labels.empty", true],
    ["node.labels.missing", false],
    ["node.labels.constructor", false],
    ["!node.labels.missing", true],
    ["!engine.labels.disk", false],
  ])("decides the constraint %s", (text, met) => {
    expect(parseNodeConstraint(text).isMetBy(node)).toBe(met);
  });

  it("matches no node when it is malformed, and explains why", () => {
    const broken = parseNodeConstraint("zone is a");
    expect(broken.isMetBy(node)).toBe(false);
    expect(broken.parseError).toContain("zone is a");
  });

  it("compares a value without wildcards literally", () => {
    const value = fc.string({ unit: fc.constantFrom(..."ab.+()[]^$|\\"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(value, value, (wanted, label) => {
        const labeled = buildNode({ labels: { zone: label } });
        expect(parseNodeConstraint(`node.labels.zone == ${wanted}`).isMetBy(labeled)).toBe(wanted === label);
      }),
    );
  });
});
