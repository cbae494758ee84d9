import { describe, expect, it } from "vitest";
import { buildNode, buildReservation, buildSpec, buildView } from "../testing/test-records.js";
import { needOf } from "./filters.js";
import { LoadOrders } from "./load-orders.js";
import { place } from "./schedule.js";

const ABLE = { dataPlane: { overlay: true } };

function reasonFor(
  networks: readonly { readonly network: string; readonly room?: number; readonly optional?: boolean }[],
  nodes: readonly { readonly description?: object; readonly addresses?: number }[],
): string {
  const views = nodes.map(({ description = {}, addresses = 0 }, index) =>
    buildView({
      node: buildNode({ id: `n${index}`, description }),
      reserved: buildReservation({ networks: new Map([["shop_back", addresses]]) }),
    }),
  );
  const all = new Map(views.map((view) => [view.node.id, view]));
  const need = needOf(buildSpec({ task: { container: { image: "x" }, networks: [...networks] } }));
  const load = { staying: new Map(), held: new Map(), avoid: new Map() };
  return place({ count: 10, need, load }, { nodes: all, orders: new LoadOrders(all) }).reason;
}

describe("networks and placement", () => {
  it("keeps tasks from hosts that cannot have what they need, and says so", () => {
    const nodes = [{}, { description: { dataPlane: { overlay: false } } }];
    expect(reasonFor([{ network: "shop_back" }], nodes)).toBe(
      "2 nodes cannot have networks that span hosts (berth node inspect says why)",
    );
    expect(reasonFor([{ network: "shop_back", optional: true }], nodes)).toBe("");
  });

  it("gives a host no more tasks than it has addresses, where it has any", () => {
    const nodes = [
      { description: ABLE, addresses: 120 },
      { description: ABLE, addresses: 124 },
    ];
    expect(reasonFor([{ network: "shop_back", room: 126 }], nodes)).toBe(
      "2 nodes have no address left in network shop_back (126 each)",
    );
    expect(reasonFor([{ network: "shop_back", room: 0 }], nodes)).toBe("");
    const withoutNetworks = [{ description: {}, addresses: 500 }];
    expect(reasonFor([{ network: "shop_back", room: 126, optional: true }], withoutNetworks)).toBe("");
  });
});
