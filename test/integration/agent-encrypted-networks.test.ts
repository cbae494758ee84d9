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
const method = encryption.kind === "missing" ? encryption.reason : `${encryption.kind} WireGuard`;
const ENCRYPTED_NETWORK = networkWith({
  id: "sealed",
  vni: 4097,
  subnet: "10.64.0.0/16",
  spec: { name: "shop_sealed", encrypted: true },
});
/** The MTU of the network, 1370, without 20 bytes of IP header and 8 of ICMP header. */
const LARGEST_PAYLOAD = 1_342;
const SECRET = "confidential-page-content";
const PAGE_BYTES = 65_536;
const SERVE = `busybox mkdir /www; busybox yes ${SECRET} | busybox head -c ${PAGE_BYTES} >/www/page; busybox httpd -f -p 80 -h /www`;
/** Filters of tcpdump: unencrypted (inside VXLAN or not), encrypted, fragmented, and of full size. */
const PLAIN = "udp port 4789 or net 10.64.0.0/16";
const ENCRYPTED = "udp port 7403";
const FRAGMENTS = "ip[6:2] & 0x3fff != 0 or (ip6 and ip6[6] == 44)";
const FULL = "udp port 7403 and ip[2:2] == 1500";
const DISCARD_PORT = 9;
/** Source addresses of a forged unencrypted frame and of an encrypted frame from the other host. */
const FORGED_MAC = "02:00:00:00:00:99";
const PEER_MAC = "02:00:00:00:00:98";

describe.skipIf(encryption.kind === "missing")(`encrypted networks over two hosts (${method})`, () => {
  let lab: Lab;
  let first: NetworkHost;
  let second: NetworkHost;
  let cable: Capture;

  const inLan = (): readonly string[] => ["nsenter", `--net=${labPaths(lab.name).lanNetns}`];

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 2, hasBerth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    [first, second] = [hostWith(0), hostWith(1)];
    for (const host of [first, second]) await host.start();
    await addDefaultRoutes();
    cable = await Capture.start(inLan(), "h1");
  });
  afterAll(async () => {
    await cable?.close();
    for (const host of [first, second]) await host?.close();
    await lab?.down();
  });

  const hostWith = (index: number, options: HostOptions = {}): NetworkHost =>
    new NetworkHost(lab, index, { ...options, hasKernelWireguard: encryption.kind === "kernel" });

  /** Adds IPv6 default routes over the cable, so that a packet that is not blocked appears there. */
  async function addDefaultRoutes(): Promise<void> {
    await runOrThrow([...inLan(), "ip", "address", "add", "fd00:77::1/64", "dev", "lan", "nodad"]);
    for (const [index, host] of [first, second].entries()) {
      await host.run("ip", "address", "add", `fd00:77::${index + 2}/64`, "dev", "eth0", "nodad");
      await host.run("ip", "-6", "route", "add", "default", "via", "fd00:77::1");
    }
  }

  const assign = async (): Promise<void> => {
    for (const host of [first, second]) {
      host.reconciler.setNetworks([host.assignmentOf(ENCRYPTED_NETWORK, [first, second])], {
        isComplete: true,
      });
    }
    for (const host of [first, second]) await host.waitUntilReady("sealed");
  };

  /** Replaces the first host's network reconciler, as a restart of its agent does. The key stays the same. */
  const restartFirst = async (): Promise<void> => {
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

  /** Sends a marker over the cable and waits until tcpdump has captured it, and so everything before it. */
  async function captureCatchesUp(): Promise<void> {
    const mark = randomUUID();
    const socket = createSocket("udp4");
    socket.send(mark, DISCARD_PORT, first.address, () => socket.close());
    await eventually("tcpdump has captured the marker", () => cable.contains(mark));
  }

  async function countPlainPackets(): Promise<number> {
    await captureCatchesUp();
    return cable.count(PLAIN);
  }

  test("containers on different hosts reach each other without plain text on the cable", async () => {
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
    await eventually("the capture inside the host contains the page", () => inside.contains(SECRET));
    await inside.close();
    expect(await countPlainPackets()).toBe(0);
    expect(await cable.contains(SECRET)).toBe(false);
    expect(await cable.count(ENCRYPTED)).toBeGreaterThan(0);
  });

  test("packets of the full MTU are not fragmented", async () => {
    expect(await first.docker("exec", "web-h1", "cat", "/sys/class/net/eth0/mtu")).toBe("1370");
    await captureCatchesUp();
    const before = await cable.count(FULL);
    expect(await first.canPing("web-h1", "10.64.2.2", LARGEST_PAYLOAD)).toBe(true);
    expect(await second.canPing("web-h2", "10.64.1.2", LARGEST_PAYLOAD)).toBe(true);
    await captureCatchesUp();
    expect(await cable.count(FULL)).toBeGreaterThanOrEqual(before + 4);
    expect(await cable.count(FRAGMENTS)).toBe(0);
  });

  test("a restarted agent leaves the device unchanged", async () => {
    const device = (): Promise<string> => first.run("ip", "-o", "link", "show", "berthwg");
    const before = await device();
    await first.close();
    await restartFirst();
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
  ])("a host that lost %s sends nothing unencrypted, and its next agent repairs it", async (_, command) => {
    await first.close();
    await first.run(...command.map((word) => (word === "KEY" ? second.wireguardKey.publicKey : word)));
    const answered = await Promise.all([
      first.canPing("web-h1", "10.64.2.2"),
      second.canPing("web-h2", "10.64.1.2"),
    ]);
    expect(answered).toEqual([false, false]);
    expect(await countPlainPackets()).toBe(0);
    await restartFirst();
    await bothReach();
    expect(await countPlainPackets()).toBe(0);
  });

  test("unencrypted packets from outside are dropped", async () => {
    const inner = innerAddress(first.address);
    const own = await first.run("ip", "-json", "address", "show", "dev", "eth0");
    const [eth0] = JSON.parse(own) as readonly { address: string; addr_info: readonly { local: string }[] }[];
    const mac = eth0?.address ?? "";
    await runOrThrow([...inLan(), "ip", "neighbour", "replace", inner, "lladdr", mac, "dev", "lan"]);
    const addresses = (eth0?.addr_info ?? []).map(({ local }) => local).filter((each) => each.includes(":"));
    expect(addresses).toHaveLength(2);
    for (const address of [...addresses, inner]) {
      await runOrThrow([...inLan(), ...frameFrom(FORGED_MAC, "::", `${address}%lan`)]);
    }
    const learned = (): Promise<string> => first.run("bridge", "fdb", "show", "dev", "btv4097");
    const friend = `${innerAddress(second.address)}%berthwg`;
    const [program = "", ...args] = frameFrom(PEER_MAC, friend, `${inner}%berthwg`);
    await second.run(program, ...args);
    await eventually("the encrypted frame is accepted", async () => (await learned()).includes(PEER_MAC));
    expect(await learned()).not.toContain(FORGED_MAC);
  });

  test("a new key of a host replaces its old one", async () => {
    const { publicKey } = second.wireguardKey;
    await second.close();
    second = hostWith(1);
    await second.start();
    await assign();
    await bothReach();
    expect(await first.run("wg", "show", "berthwg", "peers")).not.toContain(publicKey);
  });

  test("the device is removed after the last container in an encrypted network", async () => {
    first.reconciler.setNetworks([], { isComplete: true });
    await eventually("the reconciler has applied the assignment", () => first.reconciler.states.size === 0);
    expect(await first.canPing("web-h1", "10.64.2.2")).toBe(true);
    for (const host of [first, second]) {
      host.reconciler.setNetworks([], { isComplete: true });
      await host.docker("rm", "-f", `web-${host.name}`);
      host.reconciler.requestReconcile();
      const links = (): Promise<string> => host.run("ip", "link");
      await eventually("no device of berth is left", async () => !/bt[hv]\d|berthwg/.test(await links()));
    }
  });
});

/** Returns a command that sends a VXLAN packet between two IPv6 addresses, with a frame from this MAC address inside. */
function frameFrom(mac: string, from: string, to: string): readonly string[] {
  const header = Buffer.from([0x08, 0, 0, 0, 0, ENCRYPTED_NETWORK.vni >> 8, ENCRYPTED_NETWORK.vni & 0xff, 0]);
  const ethernet = Buffer.from(`ffffffffffff${mac.replaceAll(":", "")}88b5`, "hex");
  const packet = Buffer.concat([header, ethernet, Buffer.alloc(46)]).toString("hex");
  const script = `const socket = require("node:dgram").createSocket("udp6");
    socket.bind(0, "${from}", () => socket.send(Buffer.from("${packet}", "hex"), 4789, "${to}", (error) => {
      socket.close();
      if (error) throw error;
    }));`;
  return [process.execPath, "-e", script];
}
