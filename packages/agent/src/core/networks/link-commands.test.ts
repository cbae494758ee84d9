import { expect, it } from "vitest";
import { batchFailure, hairpinLines, joinCommands, type LinkCommand, linkCommands } from "./link-commands.js";

const KEY = `${"A".repeat(43)}=`;

it("linkCommands returns the iproute2 commands of each step", () => {
  const commandsOf = (step: Parameters<typeof linkCommands>[0]) =>
    linkCommands(step, "own=").map(({ program, args }) => [program, ...args].join(" "));
  const tunnel = { device: "btv7", bridge: "bth7", mtu: 1_450 };
  expect(commandsOf({ kind: "add-tunnel", ...tunnel, vni: 7, local: "10.0.0.1", boundDevice: "" })).toEqual([
    "ip link add btv7 mtu 1450 type vxlan id 7 local 10.0.0.1 dstport 4789",
    "ip link set btv7 master bth7 up",
  ]);
  expect(commandsOf({ kind: "set-tunnel", ...tunnel })).toEqual(["ip link set btv7 mtu 1450 master bth7 up"]);
  expect(commandsOf({ kind: "delete-link", device: "btv7" })).toEqual(["ip link delete btv7"]);
  expect(commandsOf({ kind: "filter-bridge", bridge: "bth7" })).toEqual([
    "ip link set bth7 type bridge nf_call_iptables 1",
  ]);
  expect(hairpinLines({ kind: "set-hairpins", devices: ["veth1", "veth2"] })).toEqual([
    "link set dev veth1 type bridge_slave hairpin on",
    "link set dev veth2 type bridge_slave hairpin on",
  ]);
  expect(linkCommands({ kind: "set-vxlan-filter", ruleset: "table x {}\n" }, "")).toEqual([
    {
      program: "nft",
      args: ["--file", "-"],
      input: "table inet berth-vxlan\ndelete table inet berth-vxlan\ntable x {}\n",
    },
  ]);
  const encrypted = { ...tunnel, vni: 7, local: "fe80::a00:1", boundDevice: "berthwg" };
  expect(commandsOf({ kind: "add-tunnel", ...encrypted })[0]).toBe(
    "ip link add btv7 mtu 1450 type vxlan id 7 local fe80::a00:1 dev berthwg dstport 4789",
  );
  expect(commandsOf({ kind: "add-wireguard" })).toEqual(["ip link add berthwg type wireguard"]);
  expect(commandsOf({ kind: "bring-up-wireguard", inner: "fe80::a00:1", mtu: 1_440 })).toEqual([
    "sysctl -q -w net.ipv6.conf.berthwg.disable_ipv6=0",
    "ip address replace fe80::a00:1/64 dev berthwg nodad",
    "ip link set berthwg mtu 1440 up",
  ]);
  expect(commandsOf({ kind: "set-static-fdb", device: "btv7", isStatic: true })).toEqual([
    "ip link set btv7 type vxlan nolearning",
    "bridge link set dev btv7 neigh_suppress on",
  ]);
  const peer = { device: "btv7", peer: "10.0.0.2" };
  expect(commandsOf({ kind: "add-peer", ...peer })).toEqual([
    "bridge fdb append 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
  expect(commandsOf({ kind: "remove-peer", ...peer })).toEqual([
    "bridge fdb delete 00:00:00:00:00:00 dev btv7 dst 10.0.0.2",
  ]);
  const inside = { device: "btv7", peer: "fe80::a00:2" };
  expect(commandsOf({ kind: "add-peer", ...inside })).toEqual([
    "bridge fdb append 00:00:00:00:00:00 dev btv7 dst fe80::a00:2 via berthwg",
  ]);
  expect(commandsOf({ kind: "remove-peer", ...inside })).toEqual([
    "bridge fdb delete 00:00:00:00:00:00 dev btv7 dst fe80::a00:2 via berthwg",
  ]);
});

it("joinCommands joins successive commands of ip or bridge, and leaves those with an input alone", () => {
  const command = (program: LinkCommand["program"], args: string, input = ""): LinkCommand => ({
    program,
    args: args.split(" "),
    input,
  });
  const forced = command("bridge", "-force -batch -", "fdb delete a\n");
  expect(
    joinCommands([
      ...[command("ip", "link set a up"), command("ip", "link set b up")],
      ...[command("bridge", "fdb append c"), forced, command("bridge", "fdb append d")],
      ...[command("sysctl", "-w x=1"), command("sysctl", "-w y=1")],
    ]),
  ).toEqual([
    command("ip", "-batch -", "link set a up\nlink set b up\n"),
    ...[command("bridge", "fdb append c"), forced, command("bridge", "fdb append d")],
    ...[command("sysctl", "-w x=1"), command("sysctl", "-w y=1")],
  ]);
});

it("batchFailure names the command that failed, and the reason", () => {
  const input = "link add a type bridge\nlink set b up\n";
  const batch: LinkCommand = { program: "ip", args: ["-batch", "-"], input };
  expect(batchFailure(batch, 'Cannot find device "b"\nCommand failed -:2\n')).toBe(
    'ip link set b up: Cannot find device "b"',
  );
  expect(batchFailure(batch, "Killed\n")).toBeUndefined();
});

it("linkCommands updates any number of static entries with one call of each program", () => {
  const mac = "02:42:0a:40:03:02";
  const upserts = [{ address: "10.64.3.2", macAddress: mac, tunnelAddress: "10.0.0.3" }];
  const stale = { vxlanFdb: [], bridgeFdb: ["02:42:0a:40:03:03"], neighbors: ["10.64.3.3"] };
  expect(linkCommands({ kind: "update-static-entries", vni: 7, upserts, stale }, "")).toEqual([
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

it("linkCommands routes static entries with an inner address through the WireGuard device", () => {
  const upserts = [{ address: "10.64.3.2", macAddress: "02:42:0a:40:03:02", tunnelAddress: "fe80::a00:3" }];
  const stale = { vxlanFdb: [], bridgeFdb: [], neighbors: [] };
  const [{ input } = { input: "" }] = linkCommands(
    { kind: "update-static-entries", vni: 7, upserts, stale },
    "",
  );
  expect(input).toBe(
    "fdb replace 02:42:0a:40:03:02 dev btv7 dst fe80::a00:3 via berthwg self master static\n",
  );
});

it("linkCommands passes the private key on standard input, not as an argument", () => {
  const step = { kind: "set-wireguard-peers", peers: [{ publicKey: KEY, address: "10.0.0.2" }] } as const;
  const [command, ...others] = linkCommands(step, "own=");
  expect(others).toEqual([]);
  expect(command).toMatchObject({ program: "sh", args: ["-c", expect.any(String), "berthwg"] });
  expect(command?.args.join(" ")).not.toContain("own=");
  expect(command?.input).toContain("PrivateKey = own=");
});

it("linkCommands refuses arbitrary text in place of an address, a MAC address or a key", () => {
  const injected = "10.0.0.2\n- a second line";
  const mac = "02:42:0a:40:03:02";
  const stale = { vxlanFdb: [], bridgeFdb: [], neighbors: [] };
  const upsert = { address: "10.64.3.2", macAddress: mac, tunnelAddress: "10.0.0.3" };
  const update = (parts: Partial<typeof upsert>) => () =>
    linkCommands({ kind: "update-static-entries", vni: 7, upserts: [{ ...upsert, ...parts }], stale }, "");
  expect(update({})).not.toThrow();
  expect(update({ address: injected })).toThrow("is not an IP address");
  expect(update({ tunnelAddress: injected })).toThrow("is not an IP address");
  expect(update({ macAddress: `${mac} dev eth0` })).toThrow("is not a MAC address");
  expect(() => linkCommands({ kind: "add-peer", device: "btv7", peer: injected }, "")).toThrow(
    "is not an IP address",
  );
  const peers = (peer: { readonly publicKey: string; readonly address: string }) => () =>
    linkCommands({ kind: "set-wireguard-peers", peers: [peer] }, "own=");
  expect(peers({ publicKey: KEY, address: "10.0.0.2\nAllowedIPs = ::/0" })).toThrow("invalid WireGuard peer");
  expect(peers({ publicKey: `${KEY}\n[Peer]`, address: "10.0.0.2" })).toThrow("invalid WireGuard peer");
});
