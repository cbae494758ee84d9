import { expect, it } from "vitest";
import { linkCommands } from "./link-commands.js";

it("says each step in iproute2's words", () => {
  const words = (step: Parameters<typeof linkCommands>[0]) =>
    linkCommands(step, "own=").map(({ program, args: rest }) => [program, ...rest].join(" "));
  const tunnel = { device: "btv7", bridge: "bth7", mtu: 1_450 };
  expect(words({ kind: "add-tunnel", ...tunnel, vni: 7, local: "10.0.0.1", boundDevice: "" })).toEqual([
    "ip link add btv7 mtu 1450 type vxlan id 7 local 10.0.0.1 dstport 4789",
    "ip link set btv7 master bth7 up",
  ]);
  expect(words({ kind: "set-tunnel", ...tunnel })).toEqual(["ip link set btv7 mtu 1450 master bth7 up"]);
  expect(words({ kind: "delete-link", device: "btv7" })).toEqual(["ip link delete btv7"]);
  expect(words({ kind: "filter-bridge", bridge: "bth7" })).toEqual([
    "ip link set bth7 type bridge nf_call_iptables 1",
  ]);
  expect(words({ kind: "set-hairpin", device: "veth1" })).toEqual(["bridge link set dev veth1 hairpin on"]);
  const sealed = { ...tunnel, vni: 7, local: "fe80::a00:1", boundDevice: "berthwg" };
  expect(words({ kind: "add-tunnel", ...sealed })[0]).toBe(
    "ip link add btv7 mtu 1450 type vxlan id 7 local fe80::a00:1 dev berthwg dstport 4789",
  );
  expect(words({ kind: "add-wireguard" })).toEqual(["ip link add berthwg type wireguard"]);
  expect(words({ kind: "raise-wireguard", inner: "fe80::a00:1", mtu: 1_440 })).toEqual([
    "sysctl -q -w net.ipv6.conf.berthwg.disable_ipv6=0",
    "ip address replace fe80::a00:1/64 dev berthwg nodad",
    "ip link set berthwg mtu 1440 up",
  ]);
  expect(words({ kind: "set-static-fdb", device: "btv7", isStatic: true })).toEqual([
    "ip link set btv7 type vxlan nolearning",
    "bridge link set dev btv7 neigh_suppress on",
  ]);
  const peer = { device: "btv7", peer: "10.0.0.2" };
  expect(words({ kind: "add-peer", ...peer })).toEqual([
    "bridge fdb append 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
  expect(words({ kind: "remove-peer", ...peer })).toEqual([
    "bridge fdb delete 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
  const inside = { device: "btv7", peer: "fe80::a00:2" };
  expect(words({ kind: "add-peer", ...inside })).toEqual([
    "bridge fdb append 00:00:00:00:00:00 dev btv7 dst fe80::a00:2 via berthwg",
  ]);
  expect(words({ kind: "remove-peer", ...inside })).toEqual([
    "bridge fdb delete 00:00:00:00:00:00 dev btv7 dst fe80::a00:2 via berthwg",
  ]);
});

it("updates any number of containers with one call of each program", () => {
  const mac = "02:42:0a:40:03:02";
  const put = [{ address: "10.64.3.2", mac, host: "10.0.0.3" }];
  const gone = { vxlanFdb: [], bridgeFdb: ["02:42:0a:40:03:03"], neighbours: ["10.64.3.3"] };
  expect(linkCommands({ kind: "list-containers", vni: 7, put, gone }, "")).toEqual([
    {
      program: "bridge",
      args: ["-force", "-batch", "-"],
      input:
        "fdb delete 02:42:0a:40:03:03 dev btv7 master\n" +
        `fdb replace ${mac} dev btv7 dst 10.0.0.3 self master static\n`,
    },
    {
      program: "ip",
      args: ["-force", "-batch", "-"],
      input:
        "neigh delete 10.64.3.3 dev bth7\n" +
        `neigh replace 10.64.3.2 lladdr ${mac} dev bth7 nud permanent\n`,
    },
  ]);
});

it("sends what is for a host inside WireGuard through that device", () => {
  const put = [{ address: "10.64.3.2", mac: "02:42:0a:40:03:02", host: "fe80::a00:3" }];
  const gone = { vxlanFdb: [], bridgeFdb: [], neighbours: [] };
  const [{ input } = { input: "" }] = linkCommands({ kind: "list-containers", vni: 7, put, gone }, "");
  expect(input).toBe(
    "fdb replace 02:42:0a:40:03:02 dev btv7 dst fe80::a00:3 via berthwg self master static\n",
  );
});

it("passes the private key by standard input, not by arguments", () => {
  const step = { kind: "set-wireguard", peers: [{ publicKey: "key2=", address: "10.0.0.2" }] } as const;
  const [command, ...others] = linkCommands(step, "own=");
  expect(others).toEqual([]);
  expect(command).toMatchObject({ program: "sh", args: ["-c", expect.any(String), "berthwg"] });
  expect(command?.args.join(" ")).not.toContain("own=");
  expect(command?.input).toContain("PrivateKey = own=");
});
