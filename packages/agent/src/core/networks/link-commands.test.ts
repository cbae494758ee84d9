import { expect, it } from "vitest";
import { linkCommands } from "./link-commands.js";

it("says each step in iproute2's words", () => {
  const words = (step: Parameters<typeof linkCommands>[0]) =>
    linkCommands(step).map((each) => each.join(" "));
  const tunnel = { device: "btv7", bridge: "bth7", mtu: 1_450 };
  expect(words({ kind: "add-tunnel", ...tunnel, vni: 7, local: "10.0.0.1" })).toEqual([
    "ip link add btv7 mtu 1450 type vxlan id 7 local 10.0.0.1 dstport 4789",
    "ip link set btv7 master bth7 up",
  ]);
  expect(words({ kind: "set-tunnel", ...tunnel })).toEqual(["ip link set btv7 mtu 1450 master bth7 up"]);
  expect(words({ kind: "delete-link", device: "btv7" })).toEqual(["ip link delete btv7"]);
  expect(words({ kind: "filter-bridge", bridge: "bth7" })).toEqual([
    "ip link set bth7 type bridge nf_call_iptables 1",
  ]);
  expect(words({ kind: "set-hairpin", device: "veth1" })).toEqual(["bridge link set dev veth1 hairpin on"]);
  const peer = { device: "btv7", peer: "10.0.0.2" };
  expect(words({ kind: "add-peer", ...peer })).toEqual([
    "bridge fdb append 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
  expect(words({ kind: "remove-peer", ...peer })).toEqual([
    "bridge fdb delete 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
});
