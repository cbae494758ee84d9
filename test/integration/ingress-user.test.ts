import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { formatDnsConfig } from "../../packages/agent/src/dataplane/messages/dns-messages.js";
import type { IngressUser } from "../../packages/agent/src/dataplane/spawn-ingress.js";
import { Cleanup, deadline, ENTRY, folderFor, openTestIngress, publish } from "./ingress-harness.js";
import { publishedListener, remoteEndpoint } from "./kernel/kernel-ingress.js";
import { ADDRESS, TestNetwork } from "./kernel/test-network.js";

const CLIENT = new URL("../../packages/agent/dist/dataplane-client/ingress-client.js", import.meta.url).href;
/** A user ID need not have an account. */
const USER: IngressUser = { uid: 61_153, gid: 61_154 };
/** CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_NET_RAW: bits 10, 12 and 13 of capabilities(7). */
const CAPABILITIES = (2 ** 10 + 2 ** 12 + 2 ** 13).toString(16).padStart(16, "0");
const [GATEWAY, VIP, BRIDGE, PORT] = ["10.64.1.1", "10.64.0.2", "bth4098", 443] as const;

/** False when Node or berth is installed in a directory that only root can access, such as /root. */
const isInstalledForAll =
  spawnSync("setpriv", [
    ...[`--reuid=${USER.uid}`, `--regid=${USER.gid}`, "--clear-groups", "--inh-caps=-all"],
    ...[process.execPath, "--check", ENTRY],
  ]).status === 0;

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
      ...{ id: "n1", name: "shop_default", stack: "shop", subnet: "10.64.0.0/18" },
      ...{ gateway: GATEWAY, bridge: BRIDGE },
    },
  ],
  services: [
    {
      ...{ key: "n1/api", networkId: "n1", service: "shop_api", stack: "shop", names: ["api"], vip: VIP },
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

/** Returns the lines of /proc/PID/status that say which user and privileges the process has. */
function privileges(processId: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${processId}/status`, "utf8").split("\n");
  const entries = lines.map((line) => line.split(":\t") as [string, string]);
  return Object.fromEntries(entries.filter(([name]) => /^(Uid|Gid|Groups|Cap...|NoNewPrivs)$/.test(name)));
}

function children(processId: number): readonly number[] {
  const threads = readdirSync(`/proc/${processId}/task`);
  const lists = threads.map((thread) => readFileSync(`/proc/${processId}/task/${thread}/children`, "utf8"));
  return lists.join(" ").split(" ").filter(Boolean).map(Number);
}

const four = (id: number): string => Array(4).fill(id).join("\t");
const UNPRIVILEGED = {
  ...{ Uid: four(USER.uid), Gid: four(USER.gid), NoNewPrivs: "1" },
  ...{ CapInh: CAPABILITIES, CapPrm: CAPABILITIES, CapEff: CAPABILITIES },
  ...{ CapBnd: CAPABILITIES, CapAmb: CAPABILITIES },
};

async function stopAfterTest(dataDir: string): Promise<void> {
  const ingress = await openTestIngress({ dataDir, launch: false });
  cleanup.add(() => ingress.stop(deadline()));
}

/** Returns a data directory below one that only root can access. */
function privateFolder(): string {
  const dataDir = join(folderFor(cleanup), "agent", "ingress");
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

it.skipIf(!isInstalledForAll)(
  "the ingress process and its children run with a user of their own and three capabilities, and its successor too",
  async () => {
    const dataDir = privateFolder();
    const first = startFromAgent(dataDir, { user: USER, release: "first" });
    await stopAfterTest(dataDir);
    await expectServing(first);
    expect(privileges(first.processId)).toMatchObject(UNPRIVILEGED);
    await expect.poll(() => children(first.processId).length, { timeout: 5_000 }).toBeGreaterThan(0);
    for (const child of children(first.processId)) expect(privileges(child)).toMatchObject(UNPRIVILEGED);

    const second = startFromAgent(dataDir, { user: USER, release: "second" });
    expect(second.processId).not.toBe(first.processId);
    await expectServing(second);
    expect(privileges(second.processId)).toMatchObject(UNPRIVILEGED);
    expect(statSync(join(dataDir, "ingress.log"))).toMatchObject({ uid: 0, nlink: 1 });
  },
);

it.skipIf(!isInstalledForAll)("replaces a process of another user", async () => {
  const dataDir = privateFolder();
  const before = startFromAgent(dataDir, { release: "same" });
  expect(privileges(before.processId).Uid).toBe(four(0));
  const after = startFromAgent(dataDir, { user: USER, release: "same" });
  await stopAfterTest(dataDir);
  expect(privileges(after.processId)).toMatchObject(UNPRIVILEGED);
  const again = startFromAgent(dataDir, { user: USER, release: "same" });
  expect(again.processId).toBe(after.processId);
});

it("does not write to a link in place of its log", async () => {
  const dataDir = privateFolder();
  const target = join(dataDir, "..", "target");
  writeFileSync(target, "unchanged");
  symlinkSync(target, join(dataDir, "ingress.log"));
  await expect(openTestIngress({ dataDir, user: USER })).rejects.toMatchObject({ code: "ELOOP" });
  expect(readFileSync(target, "utf8")).toBe("unchanged");
});
