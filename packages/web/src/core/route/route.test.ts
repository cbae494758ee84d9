import { describe, expect, it } from "vitest";
import { parseRoute, type Route, routePath } from "./route.js";

describe("parseRoute", () => {
  it("returns the route of each path that routePath writes", () => {
    const routes: readonly Route[] = [
      { view: "map" },
      { view: "services" },
      { view: "service", name: "shop_web" },
      { view: "nodes" },
      { view: "node", name: "h1.example" },
      { view: "task", id: "t/1%" },
      { view: "stacks" },
      { view: "timeline" },
      { view: "cluster" },
      { view: "present" },
    ];
    for (const route of routes) expect(parseRoute(routePath(route))).toEqual(route);
  });

  it("returns the map for an unknown or broken path", () => {
    expect(parseRoute("")).toEqual({ view: "map" });
    expect(parseRoute("#/nowhere")).toEqual({ view: "map" });
    expect(parseRoute("#/nodes/%E0%A4%A")).toEqual({ view: "node", name: "%E0%A4%A" });
  });
});
