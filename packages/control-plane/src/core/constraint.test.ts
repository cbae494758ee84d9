import { describe, expect, it } from "vitest";
import { nodeTest } from "./constraint.js";
import { buildNode } from "./test-records.js";

const node = buildNode({
  id: "n1",
  labels: { zone: "A", empty: "" },
  description: { hostname: "alpha", engineLabels: { disk: "ssd" } },
});

describe("nodeTest()", () => {
  it.each([
    ["node.id == n1", true],
    ["node.id != n1", false],
    ["node.hostname == alpha", true],
    ["node.hostname==beta", false],
    ["node.labels.zone == a", true],
    ["node.labels.zone != b", true],
    ["node.labels.missing == a", false],
    ["node.labels.missing != a", true],
    ["engine.labels.disk == ssd", true],
    ["engine.labels.disk == hdd", false],
    ["node.platform.os == linux", true],
    ["node.platform.arch == amd64", true],
    ["node.platform.arch == x86_64", true],
    ["node.platform.arch != arm64", true],
  ])("decides %s", (text, met) => {
    expect(nodeTest(text).meets(node)).toBe(met);
  });

  it("is met by no node when it cannot be understood, and says why", () => {
    const broken = nodeTest("zone is a");
    expect(broken.meets(node)).toBe(false);
    expect(broken.impossible).toContain("zone is a");
  });
});
