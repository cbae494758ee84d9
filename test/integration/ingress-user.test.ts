import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { INGRESS_PATH } from "../../deploy/lab/berth-commands.js";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { type IngressUser, ROOT } from "../../packages/agent/src/dataplane/ingress-privileges.js";
import { formatDnsConfig } from "../../packages/agent/src/dataplane/messages/dns-messages.js";
import { INGRESS_CAPABILITIES, isInstalledForAll, privilegesOf } from "../harness/ingress-user.js";
import { reserveTcpPort, reserveUdpPort } from "../harness/reserved-ports.js";
import { boundSocket, NUMBERED, startUdpRequests } from "./datagram-load.js";
import {
  Cleanup,
  deadline,
  directoryFor,
  openClient,
  openTestIngress,
  publish,
  startBackend,
  startRequests,
  type TestIngress,
  tcpListener,
} from "./ingress-harness.js";
import { publishedListener, remoteEndpoint } from "./kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "./kernel/test-network.js";

const CLIENT = new URL("../../packages/agent/dist/dataplane-client/ingress-client.js", import.meta.url).href;
/** A user ID need not have an account. */
const USER: IngressUser = { uid: 61_153, gid: 61_154 };
const OTHER_USER: IngressUser = { uid: 61_155, gid: 61_156 };
const [GATEWAY, VIP, BRIDGE, PORT] = ["10.64.1.1", "10.64.0.2", "bth4098", 443] as const;

const canRunAsUser = isInstalledForAll(INGRESS_PATH);

const cleanup = new Cleanup();
let network: TestNetwork;
beforeAll(async () => {
  network = await TestNetwork.create();
  await network.startServer("b", 8_443);
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

interface Started {
  readonly processId: number;
  readonly isKernelPath: boolean;
  readonly problems: readonly string[];
}

/** Runs an agent's client on host "a" that starts or finds the ingress process, configures it and exits. */
function startFromAgent(
  dataDir: string,
  options: { readonly user?: IngressUser; readonly release: string },
): Started {
  const table = publish({ version: 1, listeners: [publishedListener(PORT, [remoteEndpoint("b", 8_443)])] });
  const script = `import { openIngress } from ${JSON.stringify(CLIENT)};
const logger = { info() {}, warn() {}, error() {} };
const signal = AbortSignal.timeout(20_000);
const options = ${JSON.stringify({ dataDir, mode: "kernel", ...options })};
const ingress = await openIngress({ ...options, logger, signal });
await ingress.apply(${JSON.stringify(table)}, signal);
await ingress.updateDns(${JSON.stringify(formatDnsConfig(NAMES))}, signal);
const { processId, path, errors, dnsProblems } = await ingress.stats(signal);
const problems = [...errors.map(({ message }) => message), ...dnsProblems];
console.log(JSON.stringify({ processId, isKernelPath: path.kernel, problems }));
process.exit();`;
  return JSON.parse(network.run("a", process.execPath, "--input-type=module", "-e", script));
}

function children(processId: number): readonly number[] {
  const threads = readdirSync(`/proc/${processId}/task`);
  const lists = threads.map((thread) => readFileSync(`/proc/${processId}/task/${thread}/children`, "utf8"));
  return lists.join(" ").split(" ").filter(Boolean).map(Number);
}

const four = (id: number): string => Array(4).fill(id).join("\t");
const UNPRIVILEGED = {
  Uid: four(USER.uid),
  Gid: four(USER.gid),
  NoNewPrivs: "1",
  CapInh: INGRESS_CAPABILITIES,
  CapPrm: INGRESS_CAPABILITIES,
  CapEff: INGRESS_CAPABILITIES,
  CapBnd: INGRESS_CAPABILITIES,
  CapAmb: INGRESS_CAPABILITIES,
};

async function stopAfterTest(dataDir: string): Promise<void> {
  const ingress = await openTestIngress({ dataDir, launch: false });
  cleanup.add(() => ingress.stop(deadline()));
}

/** Returns a data directory below one that only root can access. */
function privateDirectory(): string {
  const dataDir = join(directoryFor(cleanup), "agent", "ingress");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return dataDir;
}

async function expectServing({ isKernelPath, problems }: Started): Promise<void> {
  expect({ isKernelPath, problems }).toEqual({ isKernelPath: true, problems: [] });
  const answers = await network.connectRepeatedly("client", ADDRESS.a, PORT, { count: 4 });
  expect(answers.map(({ text }) => text.split(" ")[0])).toEqual(["b", "b", "b", "b"]);
  const resolve = `const resolver = new (require("node:dns/promises").Resolver)();
resolver.setServers(["${GATEWAY}"]);
resolver.resolve4("api").then((addresses) => console.log(addresses.join()));`;
  expect(network.run("a", process.execPath, "-e", resolve).trim()).toBe(VIP);
}

it.skipIf(!canRunAsUser)(
  "ingress-user: the ingress process and its children run with a user of their own and three capabilities, and its successor too",
  async () => {
    const dataDir = privateDirectory();
    const first = startFromAgent(dataDir, { user: USER, release: "first" });
    await stopAfterTest(dataDir);
    await expectServing(first);
    expect(privilegesOf(first.processId)).toMatchObject(UNPRIVILEGED);
    await expect.poll(() => children(first.processId).length).toBeGreaterThan(0);
    for (const child of children(first.processId)) expect(privilegesOf(child)).toMatchObject(UNPRIVILEGED);

    const second = startFromAgent(dataDir, { user: USER, release: "second" });
    expect(second.processId).not.toBe(first.processId);
    await expectServing(second);
    expect(privilegesOf(second.processId)).toMatchObject(UNPRIVILEGED);
    expect(statSync(join(dataDir, "ingress.log"))).toMatchObject({ uid: 0, nlink: 1 });
  },
);

it.skipIf(!canRunAsUser)(
  "ingress-user: a process of root hands over to one with a user of its own",
  async () => {
    const dataDir = privateDirectory();
    const before = startFromAgent(dataDir, { release: "same" });
    expect(privilegesOf(before.processId).Uid).toBe(four(0));
    const after = startFromAgent(dataDir, { user: USER, release: "same" });
    await stopAfterTest(dataDir);
    expect(privilegesOf(after.processId)).toMatchObject(UNPRIVILEGED);
    const again = startFromAgent(dataDir, { user: USER, release: "same" });
    expect(again.processId).toBe(after.processId);
  },
);

it.skipIf(!canRunAsUser)(
  "ingress-user: a change of the user refuses no connection, cuts off none, and loses no datagram",
  async () => {
    const dataDir = privateDirectory();
    const open = (user: IngressUser): Promise<TestIngress> =>
      openTestIngress({ dataDir, entryPath: INGRESS_PATH, user });
    const [port, udpPort] = [reserveTcpPort(), await reserveUdpPort()];
    const endpoint = await startBackend(cleanup, "a", (socket) => socket.pipe(socket));
    const echo = await boundSocket(cleanup);
    // The source port shows whether it is the same flow.
    echo.on("message", (bytes, from) => echo.send(`${bytes} ${from.port}`, from.port, from.address));
    const udp = tcpListener(udpPort, [{ id: "u", address: "127.0.0.1", port: echo.address().port }]);
    const listeners = [tcpListener(port, [endpoint]), { ...udp, protocol: "udp" as const }];

    let ingress = await open(ROOT);
    cleanup.add(() => ingress.stop(deadline()));
    await ingress.apply({ version: 1, listeners }, deadline());
    const asking = startRequests(port);
    const flow = startUdpRequests(cleanup, {
      to: { address: "127.0.0.1", port: udpPort },
      everyMs: 20,
      socket: await boundSocket(cleanup),
      ...NUMBERED,
    });
    // The process of root starts its successor itself; for the others, the agent does.
    for (const user of [USER, ROOT, USER, OTHER_USER, ROOT]) {
      const { processId } = await ingress.stats(deadline());
      const kept = openClient(cleanup, port);
      kept.socket.write("one");
      await expect.poll(() => kept.read()).toBe("one");
      ingress.close();
      ingress = await open(user);
      const stats = await ingress.stats(deadline());
      expect(stats).toMatchObject({ version: 1, errors: [] });
      expect(stats.processId).not.toBe(processId);
      expect(privilegesOf(stats.processId).Uid).toBe(four(user.uid));
      kept.socket.end(" two");
      await kept.closed;
      expect(kept.read()).toBe("one two");
      expect(statSync(dataDir)).toMatchObject({ uid: 0, gid: user.gid });
    }
    const answers = await asking.stop(100);
    expect(answers.filter((answer) => answer !== "x")).toEqual([]);
    const datagrams = await flow.stop(20);
    expect(new Set(datagrams).size, String(datagrams)).toBe(1);
  },
);

it.skipIf(!canRunAsUser)(
  "ingress-user: a process that cannot hand over to another user serves on, and is asked again",
  async () => {
    const dataDir = privateDirectory();
    const [port, endpoint] = [
      reserveTcpPort(),
      await startBackend(cleanup, "a", (socket) => socket.pipe(socket)),
    ];
    const before = await openTestIngress({ dataDir, entryPath: INGRESS_PATH, user: USER });
    await before.apply({ version: 1, listeners: [tcpListener(port, [endpoint])] }, deadline());
    const { processId } = await before.stats(deadline());
    before.close();
    const asking = startRequests(port);
    // With such a perl, the agent cannot take the channel of the successor.
    const programs = directoryFor(cleanup);
    writeFileSync(join(programs, "perl"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const { PATH } = process.env;
    vi.stubEnv("PATH", `${programs}:${PATH}`);
    cleanup.add(() => vi.unstubAllEnvs());
    const after = await openTestIngress({
      dataDir,
      entryPath: INGRESS_PATH,
      user: ROOT,
      handoverRetryMs: 500,
    });
    cleanup.add(() => after.stop(deadline()));
    const kept = await after.stats(deadline());
    expect(kept.processId).toBe(processId);
    expect(privilegesOf(kept.processId).Uid).toBe(four(USER.uid));

    vi.stubEnv("PATH", PATH);
    const userNow = async (): Promise<string | undefined> =>
      privilegesOf((await after.stats(deadline())).processId).Uid;
    await expect.poll(userNow).toBe(four(0));
    const answers = await asking.stop(10);
    expect(answers.filter((answer) => answer !== "x")).toEqual([]);
  },
);

it("does not write to a link in place of its log", async () => {
  const dataDir = privateDirectory();
  const target = join(dataDir, "..", "target");
  writeFileSync(target, "unchanged");
  symlinkSync(target, join(dataDir, "ingress.log"));
  await expect(openTestIngress({ dataDir, user: USER })).rejects.toMatchObject({ code: "ELOOP" });
  expect(readFileSync(target, "utf8")).toBe("unchanged");
});
