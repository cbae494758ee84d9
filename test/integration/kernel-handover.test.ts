import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import { SOCKET_NAME } from "../../packages/agent/src/dataplane/control/protocol.js";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { IngressSession } from "../../packages/agent/src/dataplane-client/ingress-session.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { Cleanup, deadline, directoryFor, openTestIngress } from "./ingress-harness.js";
import { apply, publishedListener, remoteEndpoint, startKernelIngress } from "./kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "./kernel/test-network.js";

const [GATEWAY, VIP, BRIDGE] = ["10.64.1.1", "10.64.0.2", "bth4097"];

const cleanup = new Cleanup();
let network: TestNetwork;
beforeAll(async () => {
  network = await TestNetwork.create();
  await network.startServer("c1", 80);
  network.run("a", "ip", "link", "add", BRIDGE, "type", "bridge");
  network.run("a", "ip", "address", "add", `${GATEWAY}/18`, "dev", BRIDGE);
  network.run("a", "ip", "link", "set", BRIDGE, "up");
});
afterAll(() => network.dispose());
afterEach(() => cleanup.run());

const NAMES: DnsTable = {
  networks: [
    {
      id: "n1",
      name: "shop_default",
      stack: "shop",
      subnet: "10.64.0.0/18",
      gateway: GATEWAY,
      bridge: BRIDGE,
    },
  ],
  services: [
    {
      key: "n1/api",
      networkId: "n1",
      service: "shop_api",
      stack: "shop",
      names: ["api"],
      vip: VIP,
      endpoints: [{ id: "t1", nodeId: "a", address: ADDRESS.c1, slot: 1 }],
      draining: [],
    },
  ],
  clients: [{ address: GATEWAY, networkIds: ["n1"], dns: [] }],
};

/**
 * Resolves the name and connects to the address until its input ends. Prints each address and the server that replied.
 * It does not use the virtual IP as its source address, which the host also has.
 */
const PROGRAM = `
  const { Resolver } = require("node:dns/promises");
  const { connect } = require("node:net");
  const resolver = new Resolver({ timeout: 3000, tries: 1 });
  resolver.setServers(["${GATEWAY}"]);
  const ask = (host) => new Promise((resolve) => {
    const socket = connect({ host, port: 80, localAddress: "${GATEWAY}" });
    socket.once("data", (data) => { resolve(String(data).split(" ")[0]); socket.destroy(); });
    socket.once("error", (error) => resolve(error.code));
    socket.setTimeout(3000, () => { resolve("timeout"); socket.destroy(); });
  });
  let isOver = false;
  process.stdin.on("end", () => { isOver = true; }).resume();
  (async () => {
    while (!isOver) {
      const addresses = await resolver.resolve4("api").catch((error) => [error.code]);
      console.log(addresses.join() + " " + await ask(addresses[0]));
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
`;

it("a name resolves to its virtual IP throughout a handover while the kernel balances it", async () => {
  const old = await startKernelIngress(network, cleanup);
  await old.updateDns(NAMES, deadline());
  const argv = ["netns", "exec", network.namespace("a"), process.execPath, "-e", PROGRAM];
  const client = spawn("ip", argv, { stdio: ["pipe", "pipe", "inherit"] });
  cleanup.add(() => client.kill("SIGKILL"));
  const results: string[] = [];
  createInterface(client.stdout).on("line", (line) => results.push(line));
  const waitForResults = async (count: number): Promise<void> => {
    const expected = results.length + count;
    await eventuallyPasses(() => expect(results.length).toBeGreaterThanOrEqual(expected));
  };
  await waitForResults(20);
  old.close();

  // Requests the handover as an agent does. An agent could start another process in this test's own network instead.
  const session = await IngressSession.open(join(old.dataDir, SOCKET_NAME));
  const args = ["--mode", "kernel", "--release", "next"];
  const program = { executable: process.execPath, entryPath: INGRESS_PATH, args };
  await session.request({ $case: "handOver", value: program }, "done");
  session.close();
  const successor = await openTestIngress({ dataDir: old.dataDir, launch: false });
  cleanup.add(() => successor.stop(deadline()));
  expect((await successor.stats(deadline())).processId).not.toBe(old.process.pid);
  if (old.process.exitCode === null) await once(old.process, "exit");
  await waitForResults(20);
  client.stdin.end();
  await once(client, "close");
  expect(new Set(results)).toEqual(new Set([`${VIP} c1`]));
  await eventuallyPasses(async () =>
    expect(network.run("a", "nft", "list", "tables")).toContain("ip berth-vips"),
  );
});

it("a successor in userspace mode removes the kernel rules of its predecessor", async () => {
  const old = await startKernelIngress(network, cleanup);
  await old.updateDns(NAMES, deadline());
  const addresses = (): string => network.run("a", "ip", "address", "show", "dev", BRIDGE);
  expect(addresses()).toContain(VIP);
  old.close();
  const session = await IngressSession.open(join(old.dataDir, SOCKET_NAME));
  const args = ["--mode", "userspace", "--release", "next"];
  const program = { executable: process.execPath, entryPath: INGRESS_PATH, args };
  await session.request({ $case: "handOver", value: program }, "done");
  session.close();
  const successor = await openTestIngress({ dataDir: old.dataDir, launch: false });
  cleanup.add(() => successor.stop(deadline()));
  await eventuallyPasses(() => expect(addresses()).not.toContain(VIP));
  await eventuallyPasses(() => expect(network.run("a", "nft", "list", "tables")).not.toContain("berth-vips"));
});

it("a second ingress process on the host leaves virtual IPs and firewall rules to the first", async () => {
  const first = await startKernelIngress(network, cleanup);
  // Every process has its own table of hooks, which changes no packet.
  const ruleset = (): string =>
    network.run("a", "nft", "list", "ruleset").replaceAll(/table ip berth-hooks-.*?\n}\n/gs, "");
  // The process adds its firewall rules before it balances its first published port.
  await apply(first, publishedListener(8_080, [remoteEndpoint("b", 8_001)]));
  expect(network.run("a", "iptables", "-S", "FORWARD")).toContain("connmark");
  const before = ruleset();
  const second = await startKernelIngress(network, cleanup, { dataDir: directoryFor(cleanup) });
  expect((await second.status(deadline())).path.kernel).toBe(false);
  await second.updateDns(NAMES, deadline());
  expect(ruleset()).toBe(before);
  expect(network.run("a", "ip", "address", "show", "dev", BRIDGE)).not.toContain(VIP);
  await second.stop(deadline());
  expect(ruleset()).toBe(before);
});
