import { parseSubnet } from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  buildNode,
  buildNodeSnapshot,
  buildReservation,
  buildSpec,
  clusterSnapshot,
} from "../testing/records.js";
import { place } from "./place.js";
import { getRequirements } from "./requirements.js";

const ABLE = { dataPlane: { overlay: true } };

function reasonFor(
  networks: readonly {
    readonly network: string;
    readonly addressesPerHost?: number;
    readonly optional?: boolean;
  }[],
  nodes: readonly { readonly description?: object; readonly addresses?: number }[],
): string {
  const snapshots = nodes.map(({ description = {}, addresses = 0 }, index) =>
    buildNodeSnapshot({
      node: buildNode({ id: `n${index}`, description }),
      reserved: buildReservation({ networks: new Map([["shop_back", addresses]]) }),
    }),
  );
  const all = new Map(snapshots.map((snapshot) => [snapshot.node.id, snapshot]));
  const need = getRequirements(buildSpec({ task: { container: { image: "x" }, networks: [...networks] } }));
  const load = { tasksByNode: new Map(), occupiedByNode: new Map(), avoided: new Map() };
  const ranges = { hasRangeFor: () => true, subnetOf: () => parseSubnet("10.64.0.0/18") };
  return place({ count: 10, requirements: need, load }, { ...clusterSnapshot(all), networkRanges: ranges })
    .reason;
}

describe("networks and placement", () => {
  it("excludes nodes without a feature that the network needs, and explains why", () => {
    const nodes = [{}, { description: { dataPlane: { overlay: false } } }];
    expect(reasonFor([{ network: "shop_back" }], nodes)).toBe(
      "2 nodes cannot have networks that span hosts (berth node inspect says why)",
    );
    expect(reasonFor([{ network: "shop_back", optional: true }], nodes)).toBe("");
  });

  it("excludes nodes in a subnet that overlaps the network's", () => {
    const near = { dataPlane: { overlay: true, subnets: ["192.168.0.0/24", "10.64.5.0/24"] } };
    expect(reasonFor([{ network: "shop_back" }], [{ description: near }])).toBe(
      "1 node is in subnets that overlap network shop_back (10.64.0.0/18); give it another subnet",
    );
    expect(reasonFor([{ network: "shop_back", optional: true }], [{ description: near }])).toBe("");
    expect(reasonFor([{ network: "shop_back" }], [{ description: near }, { description: ABLE }])).toBe("");
  });

  it("places no more tasks on a node than its range has addresses", () => {
    const nodes = [
      { description: ABLE, addresses: 120 },
      { description: ABLE, addresses: 124 },
    ];
    expect(reasonFor([{ network: "shop_back", addressesPerHost: 126 }], nodes)).toBe(
      "2 nodes have no address left in network shop_back (126 each)",
    );
    expect(reasonFor([{ network: "shop_back", addressesPerHost: 0 }], nodes)).toBe("");
    const withoutNetworks = [{ description: {}, addresses: 500 }];
    expect(
      reasonFor([{ network: "shop_back", addressesPerHost: 126, optional: true }], withoutNetworks),
    ).toBe("");
  });
});
