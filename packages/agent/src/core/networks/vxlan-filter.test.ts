import { expect, it } from "vitest";
import { linkWith, networkWith, observedWith, tunnelOf } from "./testing.js";
import { planVxlanFilter, vxlanRuleset } from "./vxlan-filter.js";
import { WIREGUARD_DEVICE } from "./wireguard.js";

/** Returns the planned pairs of VNI and address, or undefined if no step is planned. */
function plannedSenders(
  ...[networks, observed]: Parameters<typeof planVxlanFilter>
): readonly string[] | undefined {
  const [step] = planVxlanFilter(networks, observed);
  if (step?.kind !== "set-vxlan-filter") return undefined;
  return step.ruleset.match(/\d+ \. [\da-f:.]+/g) ?? [];
}

it("planVxlanFilter accepts packets of each unencrypted network from its peers only", () => {
  const networks = [
    networkWith({
      id: "b",
      vni: 4_098,
      peers: [{ nodeId: "n4", address: "fd00::4", wireguardPublicKey: "" }],
    }),
    networkWith(),
    networkWith({ id: "c", vni: 4_099, spec: { encrypted: true } }),
  ];
  expect(plannedSenders(networks, observedWith())).toEqual([
    "4097 . 10.0.0.2",
    "4097 . 10.0.0.3",
    "4098 . fd00::4",
  ]);
});

it("planVxlanFilter plans nothing while the rules are loaded, in whatever order the leader lists peers", () => {
  const [step] = planVxlanFilter([networkWith()], observedWith());
  const vxlanFilter = step?.kind === "set-vxlan-filter" ? step.ruleset : "";
  const peers = networkWith().peers.toReversed();
  expect(planVxlanFilter([networkWith({ peers })], observedWith({ vxlanFilter }))).toEqual([]);
  expect(planVxlanFilter([networkWith({ peers })], observedWith({ vxlanFilter: "unknown" }))).toEqual([step]);
});

it("planVxlanFilter keeps the rules of an unassigned network while its tunnel exists", () => {
  const network = networkWith();
  const device = tunnelOf(network).name;
  const observed = observedWith({
    links: [
      tunnelOf(network),
      tunnelOf(networkWith({ vni: 4_098 }), { boundDevice: WIREGUARD_DEVICE }),
      linkWith({ name: "vxlan9", kind: "vxlan", vni: 9 }),
    ],
    floodPeers: { [device]: ["10.0.0.2"] },
    vxlanFdb: new Map([[device, new Map([["02:42:0a:40:03:02", "10.0.0.3"]])]]),
    vxlanFilter: "unknown",
  });
  expect(plannedSenders([], observed)).toEqual(["4097 . 10.0.0.2", "4097 . 10.0.0.3"]);
});

it("planVxlanFilter removes the rules with the last unencrypted network", () => {
  const step = { kind: "set-vxlan-filter", ruleset: "" };
  expect(planVxlanFilter([], observedWith({ vxlanFilter: "unknown" }))).toEqual([step]);
  expect(planVxlanFilter([], observedWith())).toEqual([]);
});

it.each(["", "host2", "10.0.0.2/8", "10.0.0", "fe80::1%eth0", "10.0.0.2 }; }\ndelete table ip nat\n"])(
  "vxlanRuleset accepts nothing from a peer whose address is %j",
  (address) => {
    expect(vxlanRuleset(new Map([[7, [address]]]))).toBe(vxlanRuleset(new Map([[7, []]])));
  },
);
