import { DnsEntry } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import { eventually } from "../harness/eventually.js";
import { importBusybox } from "./agent/busybox-image.js";
import { NetworkHost } from "./agent/network-host.js";

const SHOP = networkWith({ id: "shop", vni: 4097, subnet: "10.64.0.0/16", spec: { name: "shop_default" } });
const BLOG = networkWith({ id: "blog", vni: 4098, subnet: "10.65.0.0/16", spec: { name: "blog_default" } });
/** The MTU of the network, 1450, without 20 bytes of IP header and 8 of ICMP header. */
const LARGEST_PAYLOAD = 1_422;

/** Returns the number of packets that this host has fragmented. */
async function fragmentsOf(host: NetworkHost): Promise<number> {
  const [names = [], values = []] = (await host.run("cat", "/proc/net/snmp"))
    .split("\n")
    .filter((line) => line.startsWith("Ip:"))
    .map((line) => line.split(" "));
  return Number(values[names.indexOf("FragCreates")]);
}

describe("overlay networks on three hosts", () => {
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
  });
  afterAll(async () => {
    for (const host of hosts ?? []) await host.close();
    await lab?.down();
  });

  /** Assigns the two networks to these hosts, and waits until they are ready. */
  const assign = async (inShop: readonly NetworkHost[], inBlog: readonly NetworkHost[]): Promise<void> => {
    for (const host of hosts) {
      const networks = [
        ...(inShop.includes(host) ? [host.assignmentOf(SHOP, inShop)] : []),
        ...(inBlog.includes(host) ? [host.assignmentOf(BLOG, inBlog)] : []),
      ];
      host.reconciler.setNetworks(networks, { isComplete: true });
    }
    for (const host of inShop) await host.waitUntilReady("shop");
    for (const host of inBlog) await host.waitUntilReady("blog");
  };

  const reaches = (host: NetworkHost, container: string, address: string): Promise<boolean> =>
    eventually(`${container} reaches ${address}`, () => host.canPing(container, address)).then(() => true);

  test("containers on different hosts exchange packets of the full MTU without fragmentation", async () => {
    await assign(hosts, [first, second]);
    const addresses = [];
    for (const host of hosts) addresses.push(await host.startContainer("shop_default", `web-${host.name}`));
    expect(addresses).toEqual(["10.64.1.2", "10.64.2.2", "10.64.3.2"]);
    const fragmentsBefore = await fragmentsOf(first);
    for (const host of hosts) {
      for (const address of addresses) {
        await eventually(`${host.name} reaches ${address} with packets of the full MTU`, () =>
          host.canPing(`web-${host.name}`, address, LARGEST_PAYLOAD),
        );
      }
    }
    expect(await first.docker("exec", "web-h1", "cat", "/sys/class/net/eth0/mtu")).toBe("1450");
    expect(await fragmentsOf(first)).toBe(fragmentsBefore);
  });

  test("containers in different networks cannot reach each other, on one host or on several", async () => {
    const blogOnFirst = await first.startContainer("blog_default", "blog-h1");
    const blogOnSecond = await second.startContainer("blog_default", "blog-h2");
    expect(await reaches(first, "blog-h1", blogOnSecond)).toBe(true);
    expect(await first.canPing("web-h1", blogOnFirst)).toBe(false);
    expect(await first.canPing("web-h1", blogOnSecond)).toBe(false);
  });

  test("a restarted agent adopts existing networks and restores a deleted device", async () => {
    const successor = new NetworkHost(lab, 0);
    await successor.start();
    try {
      successor.reconciler.setNetworks(
        [first.assignmentOf(SHOP, hosts), first.assignmentOf(BLOG, [first, second])],
        {
          isComplete: true,
        },
      );
      await successor.waitUntilReady("shop");
      expect(await first.canPing("web-h1", "10.64.2.2")).toBe(true);
      await first.run("ip", "link", "delete", "btv4097");
      successor.reconciler.requestReconcile();
      expect(await reaches(first, "web-h1", "10.64.2.2")).toBe(true);
    } finally {
      await successor.close();
    }
  });

  test("a removed host is no longer a peer and rejoins after a power failure", async () => {
    await assign([first, second], [first, second]);
    // Only the flood entries: learned MAC addresses expire on their own.
    const peers = async (): Promise<readonly string[]> => {
      const table = await first.run("bridge", "fdb", "show", "dev", "btv4097");
      return table.split("\n").filter((line) => line.startsWith("00:00:00:00:00:00"));
    };
    await eventually("the host is not a peer", async () => {
      return !(await peers()).some((line) => line.includes(third.address));
    });
    await assign(hosts, [first, second]);
    await third.powerCycle();
    await third.docker("start", "web-h3");
    third.reconciler.requestReconcile();
    expect(await reaches(third, "web-h3", "10.64.1.2")).toBe(true);
  });

  test("a network with a static FDB floods nothing and reaches the containers in the DNS entries", async () => {
    const listed = networkWith({ ...SHOP, staticFdb: true, spec: SHOP.spec ?? {} });
    const initial = await Promise.all(hosts.map((host) => host.endpointOf(`web-${host.name}`)));
    const applyEndpoints = (endpoints: typeof initial): void => {
      const entry = DnsEntry.fromPartial({ key: "shop/web", networkId: "shop", endpoints });
      for (const host of hosts) host.reconciler.setDnsEntries([entry]);
    };
    applyEndpoints(initial);
    for (const host of hosts) {
      const parts = [host.assignmentOf(listed, hosts), host.assignmentOf(BLOG, [first, second])];
      host.reconciler.setNetworks(parts, { isComplete: true });
    }
    const isFlooding = async (host: NetworkHost): Promise<boolean> =>
      (await host.run("bridge", "fdb", "show", "dev", "btv4097")).includes("00:00:00:00:00:00");
    for (const host of hosts)
      await eventually("the host floods nothing", async () => !(await isFlooding(host)));
    // New containers, whose addresses no device has learned.
    await first.startContainer("shop_default", "late-h1");
    const lateOnThird = await third.startContainer("shop_default", "late-h3");
    applyEndpoints([...initial, await first.endpointOf("late-h1")]);
    expect(await reaches(first, "late-h1", "10.64.2.2")).toBe(true);
    expect(await first.canPing("late-h1", lateOnThird)).toBe(false);
    applyEndpoints([...initial, await first.endpointOf("late-h1"), await third.endpointOf("late-h3")]);
    expect(await reaches(first, "late-h1", lateOnThird)).toBe(true);
    expect(await reaches(third, "late-h3", "10.64.1.2")).toBe(true);
    await first.docker("rm", "-f", "late-h1");
    await third.docker("rm", "-f", "late-h3");
    // Back to flooding, as with few hosts.
    await assign(hosts, [first, second]);
    for (const host of hosts) await eventually("the host floods", () => isFlooding(host));
    const permanent = (): Promise<string> => first.run("ip", "neigh", "show", "nud", "permanent");
    await eventually("the static entries are removed", async () => !(await permanent()).includes("bth4097"));
    expect(await reaches(second, "web-h2", "10.64.3.2")).toBe(true);
  });

  test("networks survive a restart of dockerd", async () => {
    const h2 = lab.host("h2");
    await h2.killProcess("dockerd", "SIGTERM");
    await eventually("dockerd has exited", () => h2.processes("dockerd").length === 0);
    await h2.startDockerd();
    await second.docker("start", "web-h2");
    second.reconciler.requestReconcile();
    expect(await reaches(second, "web-h2", "10.64.1.2")).toBe(true);
  });

  test("a network is removed after its last container", async () => {
    await assign([], []);
    for (const name of ["web-h2", "blog-h2"]) await second.docker("rm", "-f", name);
    second.reconciler.requestReconcile();
    await eventually(
      "no device of berth is left",
      async () => !/bt[hv]\d/.test(await second.run("ip", "link")),
    );
    expect(await second.docker("network", "ls", "--format", "{{.Name}}")).not.toContain("default");
    // The containers of the other hosts still reach each other.
    expect(await first.canPing("web-h1", "10.64.3.2")).toBe(true);
    for (const host of [first, third]) await host.docker("rm", "-f", `web-${host.name}`);
    await first.docker("rm", "-f", "blog-h1");
    for (const host of [first, third]) {
      host.reconciler.requestReconcile();
      await eventually(
        "no device of berth is left",
        async () => !/bt[hv]\d/.test(await host.run("ip", "link")),
      );
    }
  });

  test("a network is refused while its subnet overlaps one of the host's", async () => {
    await first.run("ip", "link", "add", "near0", "type", "bridge");
    await first.run("ip", "address", "add", "10.66.3.1/24", "dev", "near0");
    await first.run("ip", "link", "set", "near0", "up");
    const near = networkWith({ id: "near", vni: 4099, subnet: "10.66.0.0/16", spec: { name: "near" } });
    first.reconciler.setNetworks([first.assignmentOf(near, [first])], { isComplete: true });
    await eventually("the network is refused", () => first.reconciler.states.get("near")?.kind === "refused");
    const state = first.reconciler.states.get("near");
    expect(state?.kind === "refused" && state.reason).toMatch(
      /^BERTH_NETWORK_OVERLAP: subnet 10\.66\.0\.0\/16 overlaps 10\.66\.3\.\S+, which this host reaches through near0/,
    );
    await first.run("ip", "link", "delete", "near0");
    first.reconciler.requestReconcile();
    await first.waitUntilReady("near");
    first.reconciler.setNetworks([], { isComplete: true });
  });

  test("a Docker network of the same name that berth did not create is kept and blocks the network", async () => {
    await first.docker("network", "create", "shop_default");
    first.reconciler.setNetworks([first.assignmentOf(SHOP, hosts)], { isComplete: true });
    await eventually("the network waits with the reason", () => {
      const state = first.reconciler.states.get("shop");
      return state?.kind === "waiting" && state.reason.includes("that berth did not create");
    });
    await first.docker("network", "rm", "shop_default");
    first.reconciler.requestReconcile();
    await first.waitUntilReady("shop");
  });
});
