import { randomUUID } from "node:crypto";
import { createSocket } from "node:dgram";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { labPaths, machinePaths } from "../../deploy/lab/paths.js";
import { runOrThrow } from "../../deploy/lab/run.js";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import { innerAddress } from "../../packages/agent/src/core/networks/wireguard.js";
import { eventually } from "../harness/eventually.js";
import { importBusybox } from "./agent/busybox-image.js";
import { Capture } from "./agent/capture.js";
import { findEncryption } from "./agent/encryption.js";
import { type HostOptions, NetworkHost } from "./agent/network-host.js";

const encryption = await findEncryption();
const by = encryption.kind === "missing" ? encryption.reason : `encrypted by the ${encryption.kind}`;
const SEALED = networkWith({
  id: "sealed",
  vni: 4097,
  subnet: "10.64.0.0/16",
  spec: { name: "shop_sealed", encrypted: true },
});
/** What a cable that takes packets of 1500 bytes leaves, less 20 for IP and 8 for ICMP. */
const LARGEST_PAYLOAD = 1_342;
const SECRET = "nobody-else-may-read-this";
const PAGE_BYTES = 65_536;
const SERVE = `busybox mkdir /www; busybox yes ${SECRET} | busybox head -c ${PAGE_BYTES} >/www/page; busybox httpd -f -p 80 -h /www`;
/** As tcpdump's filters say it: in the open, in a tunnel or as it is; encrypted; cut into pieces; as large as may be. */
const PLAIN = "udp port 4789 or net 10.64.0.0/16";
const ENCRYPTED = "udp port 7403";
const PIECES = "ip[6:2] & 0x3fff != 0 or (ip6 and ip6[6] == 44)";
const FULL = "udp port 7403 and ip[2:2] == 1500";
const DISCARD_PORT = 9;
/** Hardware addresses of frames: one that comes in the open, one that comes by the other host. */
const MALLORY = "02:00:00:00:00:99";
const FRIEND = "02:00:00:00:00:98";

describe.skipIf(encryption.kind === "missing")(`encrypted networks over two hosts (${by})`, () => {
  let lab: Lab;
  let first: NetworkHost;
  let second: NetworkHost;
  let cable: Capture;

  const inLan = (): readonly string[] => ["nsenter", `--net=${labPaths(lab.name).lanNetns}`];

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 2, berth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    [first, second] = [hostWith(0), hostWith(1)];
    for (const host of [first, second]) await host.start();
    await routeEverywhere();
    cable = await Capture.start(inLan(), "h1");
  });
  afterAll(async () => {
    await cable?.close();
    for (const host of [first, second]) await host?.close();
    await lab?.down();
  });

  const hostWith = (index: number, options: HostOptions = {}): NetworkHost =>
    new NetworkHost(lab, index, { ...options, hasKernelWireguard: encryption.kind === "kernel" });

  /** A way for IPv6 packets to anywhere, by the cable: what is not held back goes there. */
  async function routeEverywhere(): Promise<void> {
    await runOrThrow([...inLan(), "ip", "address", "add", "fd00:77::1/64", "dev", "lan", "nodad"]);
    for (const [index, host] of [first, second].entries()) {
      await host.run("ip", "address", "add", `fd00:77::${index + 2}/64`, "dev", "eth0", "nodad");
      await host.run("ip", "-6", "route", "add", "default", "via", "fd00:77::1");
    }
  }

  const assign = async (): Promise<void> => {
    for (const host of [first, second]) {
      host.keeper.setNetworks([host.assignmentOf(SEALED, [first, second])], { isComplete: true });
    }
    for (const host of [first, second]) await host.waitUntilReady("sealed");
  };

  /** An agent that starts anew, with the host's key. */
  const firstAgain = async (): Promise<void> => {
    first = hostWith(0, { wireguardKey: first.wireguardKey });
    await first.start();
    await assign();
  };

  const reaches = async (host: NetworkHost, address: string): Promise<void> => {
    await eventually(`${host.name} reaches ${address}`, () => host.canPing(`web-${host.name}`, address));
  };

  const bothReach = async (): Promise<void> => {
    await Promise.all([reaches(first, "10.64.2.2"), reaches(second, "10.64.1.2")]);
  };

  /** Returns when tcpdump has seen all that has gone over the cable until now. */
  async function sawEverything(): Promise<void> {
    const mark = randomUUID();
    const socket = createSocket("udp4");
    socket.send(mark, DISCARD_PORT, first.address, () => socket.close());
    await eventually("tcpdump has seen everything", () => cable.contains(mark));
  }

  async function plainOnCable(): Promise<number> {
    await sawEverything();
    return cable.count(PLAIN);
  }

  test("containers talk over hosts, and on the cable is nothing that anybody could read", async () => {
    await assign();
    const addresses = [];
    for (const host of [first, second]) {
      addresses.push(await host.startContainer("shop_sealed", `web-${host.name}`, ["sh", "-c", SERVE]));
    }
    expect(addresses).toEqual(["10.64.1.2", "10.64.2.2"]);
    await bothReach();
    const inside = await Capture.start(["nsenter", `--net=${machinePaths(lab.name, "h1").netns}`], "bth4097");
    const fetch = (host: NetworkHost, address: string): Promise<string> =>
      host.docker("exec", `web-${host.name}`, "busybox", "wget", "-q", "-O", "-", `http://${address}/page`);
    for (const [host, address] of [
      [first, "10.64.2.2"],
      [second, "10.64.1.2"],
    ] as const) {
      const page = await eventually("the page", () => fetch(host, address).catch(() => undefined));
      expect(page).toBe(`${SECRET}\n`.repeat(PAGE_BYTES).slice(0, PAGE_BYTES).trim());
    }
    await eventually("somebody on the host reads it", () => inside.contains(SECRET));
    await inside.close();
    expect(await plainOnCable()).toBe(0);
    expect(await cable.contains(SECRET)).toBe(false);
    expect(await cable.count(ENCRYPTED)).toBeGreaterThan(0);
  });

  test("packets as large as they may be go in one piece", async () => {
    expect(await first.docker("exec", "web-h1", "cat", "/sys/class/net/eth0/mtu")).toBe("1370");
    await sawEverything();
    const before = await cable.count(FULL);
    expect(await first.canPing("web-h1", "10.64.2.2", LARGEST_PAYLOAD)).toBe(true);
    expect(await second.canPing("web-h2", "10.64.1.2", LARGEST_PAYLOAD)).toBe(true);
    await sawEverything();
    expect(await cable.count(FULL)).toBeGreaterThanOrEqual(before + 4);
    expect(await cable.count(PIECES)).toBe(0);
  });

  test("a host that looks again changes nothing", async () => {
    const device = (): Promise<string> => first.run("ip", "-o", "link", "show", "berthwg");
    const before = await device();
    await first.close();
    await firstAgain();
    expect(await device()).toBe(before);
    expect(await first.canPing("web-h1", "10.64.2.2")).toBe(true);
  });

  test.each([
    ["the other host", ["wg", "set", "berthwg", "peer", "KEY", "remove"]],
    ["its key", ["wg", "set", "berthwg", "private-key", "/dev/null"]],
    ["the other host's address", ["wg", "set", "berthwg", "peer", "KEY", "allowed-ips", ""]],
    ["its own address", ["ip", "address", "flush", "dev", "berthwg"]],
    ["its device for a while", ["ip", "link", "set", "berthwg", "down"]],
    ["its device", ["ip", "link", "delete", "berthwg"]],
  ])("a host that has lost %s sends nothing in the open, and is put right", async (_, command) => {
    await first.close();
    await first.run(...command.map((word) => (word === "KEY" ? second.wireguardKey.publicKey : word)));
    const answered = await Promise.all([
      first.canPing("web-h1", "10.64.2.2"),
      second.canPing("web-h2", "10.64.1.2"),
    ]);
    expect(answered).toEqual([false, false]);
    expect(await plainOnCable()).toBe(0);
    await firstAgain();
    await bothReach();
    expect(await plainOnCable()).toBe(0);
  });

  test("what comes in the open is not taken", async () => {
    const inner = innerAddress(first.address);
    const own = await first.run("ip", "-json", "address", "show", "dev", "eth0");
    const [eth0] = JSON.parse(own) as readonly { address: string; addr_info: readonly { local: string }[] }[];
    const mac = eth0?.address ?? "";
    await runOrThrow([...inLan(), "ip", "neighbour", "replace", inner, "lladdr", mac, "dev", "lan"]);
    const addresses = (eth0?.addr_info ?? []).map(({ local }) => local).filter((each) => each.includes(":"));
    expect(addresses).toHaveLength(2);
    for (const address of [...addresses, inner]) {
      await runOrThrow([...inLan(), ...frameFrom(MALLORY, "::", `${address}%lan`)]);
    }
    const learned = (): Promise<string> => first.run("bridge", "fdb", "show", "dev", "btv4097");
    const friend = `${innerAddress(second.address)}%berthwg`;
    const [command = "", ...words] = frameFrom(FRIEND, friend, `${inner}%berthwg`);
    await second.run(command, ...words);
    await eventually("what came encrypted is taken", async () => (await learned()).includes(FRIEND));
    expect(await learned()).not.toContain(MALLORY);
  });

  test("a host with another key is known by it, and its old one no longer", async () => {
    const { publicKey } = second.wireguardKey;
    await second.close();
    second = hostWith(1);
    await second.start();
    await assign();
    await bothReach();
    expect(await first.run("wg", "show", "berthwg", "peers")).not.toContain(publicKey);
  });

  test("the device goes with the last encrypted network, and not before its containers", async () => {
    first.keeper.setNetworks([], { isComplete: true });
    await eventually("it has been looked at", () => first.keeper.states.size === 0);
    expect(await first.canPing("web-h1", "10.64.2.2")).toBe(true);
    for (const host of [first, second]) {
      host.keeper.setNetworks([], { isComplete: true });
      await host.docker("rm", "-f", `web-${host.name}`);
      host.keeper.requestReconcile();
      const links = (): Promise<string> => host.run("ip", "link");
      await eventually("nothing of ours is left", async () => !/bt[hv]\d|berthwg/.test(await links()));
    }
  });
});

/** A program that sends a frame from a hardware address into the network, in a tunnel's packet between IPv6 addresses. */
function frameFrom(mac: string, from: string, to: string): readonly string[] {
  const header = Buffer.from([0x08, 0, 0, 0, 0, SEALED.vni >> 8, SEALED.vni & 0xff, 0]);
  const ethernet = Buffer.from(`ffffffffffff${mac.replaceAll(":", "")}88b5`, "hex");
  const packet = Buffer.concat([header, ethernet, Buffer.alloc(46)]).toString("hex");
  const script = `const socket = require("node:dgram").createSocket("udp6");
    socket.bind(0, "${from}", () => socket.send(Buffer.from("${packet}", "hex"), 4789, "${to}", (error) => {
      socket.close();
      if (error) throw error;
    }));`;
  return [process.execPath, "-e", script];
}
