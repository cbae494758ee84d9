import { DnsEntry } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { labPaths } from "../../deploy/lab/paths.js";
import { runOrThrow } from "../../deploy/lab/run.js";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import { eventually } from "../harness/eventually.js";
import { importBusybox } from "./agent/busybox-image.js";
import { NetworkHost } from "./agent/network-host.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "./agent/specs.js";

const VXLAN_PORT = 4_789;
const SHOP = networkWith({ id: "shop", vni: 4097, subnet: "10.64.0.0/16", spec: { name: "shop_default" } });
const BLOG = networkWith({ id: "blog", vni: 4098, subnet: "10.65.0.0/16", spec: { name: "blog_default" } });
const OUTSIDER = {
  name: "outsider",
  command: ["run", "-d", "--name", "outsider", IMAGE, ...RUN_UNTIL_STOPPED],
};

let lastMac = 0;
/** Returns a MAC address that no test has used. */
const nextMac = (): string => `02:00:00:00:01:${(lastMac++).toString(16).padStart(2, "0")}`;

describe("vxlan-injection: VXLAN packets to a host of unencrypted networks", () => {
  let lab: Lab;
  let hosts: NetworkHost[];
  let first: NetworkHost;
  let second: NetworkHost;
  let third: NetworkHost;

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 3, hasBerth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    hosts = lab.hosts.map((_, index) => new NetworkHost(lab, index));
    [first, second, third] = hosts as [NetworkHost, NetworkHost, NetworkHost];
    for (const host of hosts) await host.start();
    for (const host of hosts) await host.docker(...OUTSIDER.command);
    const neighbor = first.address.replace(/\d+$/, "250/24");
    await runOrThrow([...inLan(), "ip", "address", "add", neighbor, "dev", "lan"]);
  });
  afterAll(async () => {
    for (const host of hosts ?? []) await host.close();
    await lab?.down();
  });

  /** Assigns the first network to the first two hosts, and the second network to the first and the third host. */
  const assign = async ({ staticFdb = false } = {}): Promise<void> => {
    const shop = networkWith({ ...SHOP, staticFdb, spec: SHOP.spec ?? {} });
    for (const host of hosts) {
      const networks = [
        ...(host === third ? [] : [host.assignmentOf(shop, [first, second])]),
        ...(host === second ? [] : [host.assignmentOf(BLOG, [first, third])]),
      ];
      host.reconciler.setNetworks(networks, { isComplete: true });
      for (const { id } of networks) await host.waitUntilReady(id);
    }
  };

  /** Returns the command that enters the network namespace of the container outside all networks on a host. */
  const inOutsider = async (host: NetworkHost): Promise<readonly string[]> => {
    const pid = await host.docker("inspect", "-f", "{{.State.Pid}}", OUTSIDER.name);
    return lab.host(host.name).commandInside(["nsenter", "--target", pid, "--net"]);
  };
  const inHost = (host: NetworkHost): readonly string[] => lab.host(host.name).commandInside([]);
  const inLan = (): readonly string[] => ["nsenter", `--net=${labPaths(lab.name).lanNetns}`];

  /**
   * Sends the first host a frame inside VXLAN.
   *
   * @param from the source address; by default that of the route
   */
  const inject = async (enter: readonly string[], mac: string, { vni = SHOP.vni, from = "" } = {}) => {
    await runOrThrow([...enter, ...frameCommand({ mac, vni, from, to: first.address })]);
  };
  const ping = (host: NetworkHost, address: string): Promise<true> =>
    eventually(`${host.name} reaches ${address}`, () => host.canPing(`web-${host.name}`, address));

  /** Returns whether the first host's bridge has received a frame from this MAC address. */
  const hasArrived = async (mac: string, vni = SHOP.vni): Promise<boolean> =>
    (await first.run("bridge", "fdb", "show", "br", `bth${vni}`)).includes(mac);

  /** Waits until the kernel has handled everything that was sent before. */
  const peerFrameArrives = async (): Promise<void> => {
    const mac = nextMac();
    await eventually("a frame from a peer arrives", async () => {
      await inject(inHost(second), mac);
      return hasArrived(mac);
    });
  };

  /** Sends frames that do not come from a peer of the network. Returns the descriptions of those that arrived. */
  const attack = async (): Promise<readonly string[]> => {
    const outsider = await inOutsider(first);
    const attacks: readonly [string, readonly string[], { vni?: number; from?: string }][] = [
      ["a container", outsider, {}],
      ["a container that forges a peer's address", outsider, { from: second.address }],
      ["a container on a peer, masqueraded", await inOutsider(second), {}],
      ["a neighbor", inLan(), {}],
      ["a peer of another network only", inHost(third), {}],
      ["the host itself", inHost(first), {}],
      ["the host's loopback address", inHost(first), { from: "127.0.0.1" }],
    ];
    const arrived: string[] = [];
    const sent: [string, string][] = [];
    for (const [name, enter, options] of attacks) {
      const mac = nextMac();
      await inject(enter, mac, options);
      sent.push([name, mac]);
    }
    await peerFrameArrives();
    for (const [name, mac] of sent) if (await hasArrived(mac)) arrived.push(name);
    return arrived;
  };

  const hasFilter = async (host: NetworkHost): Promise<boolean> =>
    (await host.run("nft", "list", "tables")).includes("inet berth-vxlan");

  test("only peers of a flooded network can send to it", async () => {
    const outsider = await inOutsider(first);
    await runOrThrow([...outsider, "ip", "address", "add", `${second.address}/32`, "dev", "lo"]);
    await assign();
    for (const host of [first, second]) await host.startContainer("shop_default", `web-${host.name}`);
    await ping(first, "10.64.2.2");
    expect(await attack()).toEqual([]);
    await ping(first, "10.64.2.2");
  });

  test("only peers of a network with static forwarding entries can send to it", async () => {
    await assign({ staticFdb: true });
    const endpoints = [await first.endpointOf("web-h1"), await second.endpointOf("web-h2")];
    const entry = DnsEntry.fromPartial({ key: "shop/web", networkId: "shop", endpoints });
    for (const host of [first, second]) host.reconciler.setDnsEntries([entry]);
    await ping(first, "10.64.2.2");
    expect(await attack()).toEqual([]);
    await assign();
  });

  test("a host can send as soon as it is a peer, and no longer than it is one", async () => {
    const accepts = async (host: NetworkHost): Promise<boolean> => {
      const mac = nextMac();
      await inject(inHost(host), mac);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return hasArrived(mac);
    };
    const setPeers = (peers: readonly NetworkHost[]): void => {
      const networks = [
        first.assignmentOf(SHOP, [first, ...peers]),
        first.assignmentOf(BLOG, [first, third]),
      ];
      first.reconciler.setNetworks(networks, { isComplete: true });
    };
    expect([await accepts(second), await accepts(third)]).toEqual([true, false]);
    setPeers([third]);
    await eventually("the new peer can send", () => accepts(third));
    expect(await accepts(second)).toBe(false);
    setPeers([second]);
    await eventually("the previous peer can send", () => accepts(second));
    expect(await accepts(third)).toBe(false);
  });

  test("packets of VXLAN devices that are not berth's are accepted", async () => {
    await first.run("ip", "link", "add", "br9", "type", "bridge");
    await first.run("ip", "link", "set", "br9", "up");
    await first.run(..."ip link add vx9 type vxlan id 9 dstport 4789".split(" "), "local", first.address);
    await first.run("ip", "link", "set", "vx9", "master", "br9", "up");
    const mac = nextMac();
    await eventually("the frame arrives", async () => {
      await inject(inLan(), mac, { vni: 9 });
      return (await first.run("bridge", "fdb", "show", "br", "br9")).includes(mac);
    });
    await first.run("ip", "link", "delete", "vx9");
  });

  test("the rules are restored after nft flush ruleset", async () => {
    await first.run("nft", "flush", "ruleset");
    await eventually("the rules are back", () => hasFilter(first));
    expect(await attack()).toEqual([]);
  });

  test("a network keeps its rules until its last container is gone, and the table goes with the last network", async () => {
    first.reconciler.setNetworks([], { isComplete: true });
    await eventually("the reconciler has applied the assignment", () => first.reconciler.states.size === 0);
    expect(await attack()).toEqual([]);
    await first.docker("rm", "-f", "web-h1");
    first.reconciler.requestReconcile();
    await eventually("the table is removed", async () => !(await hasFilter(first)));
    await eventually("no device is left", async () => !/bt[hv]\d/.test(await first.run("ip", "link")));
  });
});

interface Frame {
  readonly mac: string;
  readonly vni: number;
  /** The outer source address. Empty for the source address of the route. */
  readonly from: string;
  readonly to: string;
}

/** Returns a command that sends a broadcast frame inside a VXLAN packet. */
function frameCommand({ mac, vni, from, to }: Frame): readonly string[] {
  const header = Buffer.from([0x08, 0, 0, 0, 0, vni >> 8, vni & 0xff, 0]);
  const ethernet = Buffer.from(`ffffffffffff${mac.replaceAll(":", "")}88b5`, "hex");
  const packet = Buffer.concat([header, ethernet, Buffer.alloc(46)]).toString("hex");
  const script = `const socket = require("node:dgram").createSocket("udp4");
    socket.bind(0, ${JSON.stringify(from || "0.0.0.0")}, () =>
      socket.send(Buffer.from("${packet}", "hex"), ${VXLAN_PORT}, "${to}", (error) => {
        socket.close();
        if (error) throw error;
      }));`;
  return [process.execPath, "-e", script];
}
