import { describe, expect, it } from "vitest";
import { compareNodes, decodeNode } from "../model/node.js";
import { matchesFilter } from "./cluster-view.js";
import { automaticDensity } from "./density.js";
import { COLOR_COUNT, ServiceColors } from "./service-colors.js";

describe("ServiceColors", () => {
  it("gives the first services different colors", () => {
    const colors = new ServiceColors();
    const names = Array.from({ length: COLOR_COUNT }, (_, index) => `stack_service${index}`);
    colors.assignAll(names);
    expect(new Set(names.map((name) => colors.colorOf(name))).size).toBe(COLOR_COUNT);
  });

  it("keeps the color of a service when others come and go", () => {
    const colors = new ServiceColors();
    colors.assignAll(["a_web", "b_web"]);
    const color = colors.colorOf("b_web");
    colors.retain(new Set(["b_web"]));
    colors.assignAll(["b_web", "c_web", "d_web"]);
    expect(colors.colorOf("b_web")).toBe(color);
  });
});

describe("automaticDensity", () => {
  it("shows names in small clusters, symbols in medium ones and dots in large ones", () => {
    expect(automaticDensity(3, 30)).toBe("comfortable");
    expect(automaticDensity(50, 500)).toBe("compact");
    expect(automaticDensity(300, 3_000)).toBe("dense");
  });
});

describe("compareNodes", () => {
  it("orders numbers in hostnames by value", () => {
    const nodes = ["h10", "h2", "h1"].flatMap((hostname) => decodeNode({ id: hostname, hostname }) ?? []);
    expect(nodes.sort(compareNodes).map(({ hostname }) => hostname)).toEqual(["h1", "h2", "h10"]);
  });
});

describe("matchesFilter", () => {
  it("matches a part of the name, and everything without a filter", () => {
    expect(matchesFilter({ name: "shop_web.3" }, "web.3")).toBe(true);
    expect(matchesFilter({ name: "shop_web.3" }, "")).toBe(true);
    expect(matchesFilter({ name: "shop_web.3" }, "db")).toBe(false);
  });
});
