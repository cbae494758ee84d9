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
/** The largest that fits a packet of 1450 bytes: 20 of them are IP's, 8 ICMP's. */
const LARGEST_PAYLOAD = 1_422;

/** Packets that this host had to cut into pieces, since they were larger than its uplink takes. */
async function fragmentsOf(host: NetworkHost): Promise<number> {
  const [names = [], values = []] = (await host.run("cat", "/proc/net/snmp"))
    .split("\n")
    .filter((line) => line.startsWith("Ip:"))
    .map((line) => line.split(" "));
  return Number(values[names.indexOf("FragCreates")]);
}

describe("networks over three hosts", () => {
  let lab: Lab;
  let hosts: NetworkHost[];
  let first: NetworkHost;
  let second: NetworkHost;
  let third: NetworkHost;

  beforeAll(async () => {
    lab = await createLab({ name: testLabName(), hosts: 3, berth: false });
    await importBusybox(lab.hosts.map(({ dockerSocket }) => dockerSocket));
    hosts = lab.hosts.map((_, index) => new NetworkHost(lab, index));
    [first, second, third] = hosts as [NetworkHost, NetworkHost, NetworkHost];
    for (const host of hosts) await host.start();
  });
  afterAll(async () => {
    for (const host of hosts ?? []) await host.close();
    await lab?.down();
  });

  /** Every host takes part in both, as far as it is among these. */
  const assign = async (inShop: readonly NetworkHost[], inBlog: readonly NetworkHost[]): Promise<void> => {
    for (const host of hosts) {
      const networks = [
        ...(inShop.includes(host) ? [host.assignmentOf(SHOP, inShop)] : []),
        ...(inBlog.includes(host) ? [host.assignmentOf(BLOG, inBlog)] : []),
      ];
      host.keeper.setNetworks(networks, { isComplete: true });
    }
    for (const host of inShop) await host.waitUntilReady("shop");
    for (const host of inBlog) await host.waitUntilReady("blog");
  };

  const reaches = (host: NetworkHost, container: string, address: string): Promise<boolean> =>
    eventually(`${container} reaches ${address}`, () => host.canPing(container, address)).then(() => true);

  test("containers talk over hosts with packets as large as they may be, and no address ends in .0", async () => {
    await assign(hosts, [first, second]);
    const addresses = [];
    for (const host of hosts) addresses.push(await host.startContainer("shop_default", `web-${host.name}`));
    expect(addresses).toEqual(["10.64.1.2", "10.64.2.2", "10.64.3.2"]);
    const cutBefore = await fragmentsOf(first);
    for (const host of hosts) {
      for (const address of addresses) {
        expect(await host.canPing(`web-${host.name}`, address, LARGEST_PAYLOAD)).toBe(true);
      }
    }
    expect(await first.docker("exec", "web-h1", "cat", "/sys/class/net/eth0/mtu")).toBe("1450");
    expect(await fragmentsOf(first)).toBe(cutBefore);
  });

  test("networks are apart from each other, on one host and over hosts", async () => {
    const blogOnFirst = await first.startContainer("blog_default", "blog-h1");
    const blogOnSecond = await second.startContainer("blog_default", "blog-h2");
    expect(await first.canPing("blog-h1", blogOnSecond)).toBe(true);
    expect(await first.canPing("web-h1", blogOnFirst)).toBe(false);
    expect(await first.canPing("web-h1", blogOnSecond)).toBe(false);
  });

  test("an agent that starts anew takes over what is there, and puts right what others changed", async () => {
    const successor = new NetworkHost(lab, 0);
    await successor.start();
    try {
      successor.keeper.setNetworks(
        [first.assignmentOf(SHOP, hosts), first.assignmentOf(BLOG, [first, second])],
        {
          isComplete: true,
        },
      );
      await successor.waitUntilReady("shop");
      expect(await first.canPing("web-h1", "10.64.2.2")).toBe(true);
      await first.run("ip", "link", "delete", "btv4097");
      successor.keeper.requestReconcile();
      expect(await reaches(first, "web-h1", "10.64.2.2")).toBe(true);
    } finally {
      await successor.close();
    }
  });

  test("a host that leaves gets nothing more, and one that lost its power is joined again", async () => {
    await assign([first, second], [first, second]);
    // What the device has learned of containers' hardware addresses ages by itself.
    const peers = async (): Promise<readonly string[]> => {
      const table = await first.run("bridge", "fdb", "show", "dev", "btv4097");
      return table.split("\n").filter((line) => line.startsWith("00:00:00:00:00:00"));
    };
    await eventually("the host is no peer any more", async () => {
      return !(await peers()).some((line) => line.includes(third.address));
    });
    await assign(hosts, [first, second]);
    await third.powerCycle();
    await third.docker("start", "web-h3");
    third.keeper.requestReconcile();
    expect(await reaches(third, "web-h3", "10.64.1.2")).toBe(true);
  });

  test("beyond a few dozen hosts nothing goes to everybody, and each host knows where containers are", async () => {
    const listed = networkWith({ ...SHOP, staticFdb: true, spec: SHOP.spec ?? {} });
    const known = await Promise.all(hosts.map((host) => host.endpointOf(`web-${host.name}`)));
    const tell = (endpoints: typeof known): void => {
      const entry = DnsEntry.fromPartial({ key: "shop/web", networkId: "shop", endpoints });
      for (const host of hosts) host.keeper.setDnsEntries([entry]);
    };
    tell(known);
    for (const host of hosts) {
      const parts = [host.assignmentOf(listed, hosts), host.assignmentOf(BLOG, [first, second])];
      host.keeper.setNetworks(parts, { isComplete: true });
    }
    const isFlooding = async (host: NetworkHost): Promise<boolean> =>
      (await host.run("bridge", "fdb", "show", "dev", "btv4097")).includes("00:00:00:00:00:00");
    for (const host of hosts)
      await eventually("nothing goes to everybody", async () => !(await isFlooding(host)));
    // New ones: what these ask and are asked, nobody has learned before.
    await first.startContainer("shop_default", "late-h1");
    const lateOnThird = await third.startContainer("shop_default", "late-h3");
    tell([...known, await first.endpointOf("late-h1")]);
    expect(await reaches(first, "late-h1", "10.64.2.2")).toBe(true);
    expect(await first.canPing("late-h1", lateOnThird)).toBe(false);
    tell([...known, await first.endpointOf("late-h1"), await third.endpointOf("late-h3")]);
    expect(await reaches(first, "late-h1", lateOnThird)).toBe(true);
    expect(await reaches(third, "late-h3", "10.64.1.2")).toBe(true);
    await first.docker("rm", "-f", "late-h1");
    await third.docker("rm", "-f", "late-h3");
    // A few hosts are left: as before.
    await assign(hosts, [first, second]);
    for (const host of hosts) await eventually("everybody is asked", () => isFlooding(host));
    const permanent = (): Promise<string> => first.run("ip", "neigh", "show", "nud", "permanent");
    await eventually("nothing of it is left", async () => !(await permanent()).includes("bth4097"));
    expect(await reaches(second, "web-h2", "10.64.3.2")).toBe(true);
  });

  test("a daemon that restarts keeps the networks", async () => {
    const h2 = lab.host("h2");
    await h2.killProcess("dockerd", "SIGTERM");
    await eventually("the daemon has ended", () => h2.processes("dockerd").length === 0);
    await h2.startDockerd();
    await second.docker("start", "web-h2");
    second.keeper.requestReconcile();
    expect(await reaches(second, "web-h2", "10.64.1.2")).toBe(true);
  });

  test("a network goes when nobody uses it any more, and not before", async () => {
    await assign([], []);
    for (const name of ["web-h2", "blog-h2"]) await second.docker("rm", "-f", name);
    second.keeper.requestReconcile();
    await eventually("nothing of ours is left", async () => !/bt[hv]\d/.test(await second.run("ip", "link")));
    expect(await second.docker("network", "ls", "--format", "{{.Name}}")).not.toContain("default");
    // The others' containers still run, and talk to each other.
    expect(await first.canPing("web-h1", "10.64.3.2")).toBe(true);
    for (const host of [first, third]) await host.docker("rm", "-f", `web-${host.name}`);
    await first.docker("rm", "-f", "blog-h1");
    for (const host of [first, third]) {
      host.keeper.requestReconcile();
      await eventually("nothing of ours is left", async () => !/bt[hv]\d/.test(await host.run("ip", "link")));
    }
  });

  test("a network that covers what the host is in is refused, and one that does not is made", async () => {
    await first.run("ip", "link", "add", "near0", "type", "bridge");
    await first.run("ip", "address", "add", "10.66.3.1/24", "dev", "near0");
    await first.run("ip", "link", "set", "near0", "up");
    const near = networkWith({ id: "near", vni: 4099, subnet: "10.66.0.0/16", spec: { name: "near" } });
    first.keeper.setNetworks([first.assignmentOf(near, [first])], { isComplete: true });
    await eventually("it is refused", () => first.keeper.states.get("near")?.kind === "refused");
    const state = first.keeper.states.get("near");
    expect(state?.kind === "refused" && state.reason).toMatch(
      /^BERTH_NETWORK_OVERLAP: subnet 10\.66\.0\.0\/16 overlaps 10\.66\.3\.\S+, which this host reaches through near0/,
    );
    await first.run("ip", "link", "delete", "near0");
    first.keeper.requestReconcile();
    await first.waitUntilReady("near");
    first.keeper.setNetworks([], { isComplete: true });
  });

  test("a network of that name that is somebody else's stays, and the reason says so", async () => {
    await first.docker("network", "create", "shop_default");
    first.keeper.setNetworks([first.assignmentOf(SHOP, hosts)], { isComplete: true });
    await eventually("the reason is told", () => {
      const state = first.keeper.states.get("shop");
      return state?.kind === "waiting" && state.reason.includes("that berth did not create");
    });
    await first.docker("network", "rm", "shop_default");
    first.keeper.requestReconcile();
    await first.waitUntilReady("shop");
  });
});
