import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  restartDockerd,
  waitForReplicas,
} from "./support/cluster.js";
import { listRunning } from "./support/containers.js";

const SHOP = fileURLToPath(new URL("../../deploy/images/shop", import.meta.url));
const PORT = 8_100;
const REPLICAS = 6;
const ROUNDS = 5;

/** Replies to each connection with the container's hostname and the peer address. */
const WHO = `
  require("node:net").createServer((socket) => {
    socket.on("error", () => {});
    socket.end(require("node:os").hostname() + " " + socket.remoteAddress.replace("::ffff:", ""));
  }).listen(8080);
`;

const COMPOSE = `
services:
  web:
    image: shop:1
    command: ["-e", ${JSON.stringify(WHO.replaceAll("\n", " "))}]
    ports: ["${PORT}:8080"]
    stop_grace_period: 1s
    deploy: { replicas: ${REPLICAS}, placement: { max_replicas_per_node: ${REPLICAS / 3} } }
`;

const STICKY_PORT = 8_101;
const PROXIED_PORT = 8_102;

/** Replies to each connection with the received PROXY header (version 2, TCP over IPv4) and the data after it. */
const WHAT = `
  require("node:net").createServer((socket) => {
    let got = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 28 + 5) return;
      const ip = (at) => got.subarray(at, at + 4).join(".");
      const head = got.subarray(0, 16).toString("hex");
      socket.end([head, ip(16), ip(20), got.readUInt16BE(26), got.subarray(28)].join(" "));
    });
  }).listen(8080);
`;
/** Signature, version 2 and PROXY, TCP over IPv4, 12 bytes of addresses and ports. */
const PROXY_V2 = `${Buffer.from("\r\n\r\n\0\r\nQUIT\n").toString("hex")}2111000c`;

const RULES = `
x-task: &task
  image: shop:1
  stop_grace_period: 1s
  deploy: { replicas: 3, placement: { max_replicas_per_node: 1 } }
services:
  sticky:
    <<: *task
    command: ["-e", ${JSON.stringify(WHO.replaceAll("\n", " "))}]
    ports: ["${STICKY_PORT}:8080"]
    x-berth: { affinity: source }
  proxied:
    <<: *task
    command: ["-e", ${JSON.stringify(WHAT.replaceAll("\n", " "))}]
    ports: ["${PROXIED_PORT}:8080"]
    x-berth: { proxy_protocol: true }
`;

interface InspectedNode {
  readonly dataPlane: { readonly kernel: boolean; readonly kernelReason: string };
}

describe("the kernel path on real Docker hosts", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(3);
    await lab.loadImage(SHOP, "shop:1");
  });
  afterAll(() => lab?.down());

  const run = async (host: string, ...argv: readonly string[]): Promise<string> =>
    (await lab.host(host).exec(argv)).stdout;
  const hasTable = async (host: string): Promise<boolean> =>
    (await run(host, "nft", "list", "tables")).includes("table ip berth");

  /** Returns the number of connections that a host's kernel has balanced. */
  const balanced = async (host: string): Promise<number> => {
    const sets = ["remotes", "locals"].map((set) => run(host, "nft", "list", "set", "ip", "berth", set));
    const counts = (await Promise.all(sets)).join("").matchAll(/counter packets (\d+)/g);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  /** Returns the number of connections to a port that a host's kernel has received. */
  const entered = async (host: string, port = PORT): Promise<number> => {
    const ports = await run(host, "nft", "list", "map", "ip", "berth", "ports");
    const [, count = "0"] = new RegExp(`tcp \\. ${port} counter packets (\\d+)`).exec(ports) ?? [];
    return Number(count);
  };

  const askSticky = async (host: string): Promise<string> =>
    (await exchange({ host: lab.host(host).address, port: STICKY_PORT, text: "" })).split(" ")[0] ?? "";

  /** Sends one request for each replica and returns the replicas that answered. */
  const askRound = async (host: string): Promise<ReadonlySet<string>> => {
    const replicas = new Set<string>();
    for (let request = 0; request < REPLICAS; request += 1) {
      replicas.add((await askWho(lab.host(host).address)).replica);
    }
    return replicas;
  };

  /** Waits until a host's kernel balances over all replicas. Hosts receive the table shortly after a deploy returns. */
  const kernelBalances = async (host: string): Promise<void> => {
    const isWhole = async (): Promise<boolean> => {
      const before = await balanced(host);
      const { size } = await askRound(host);
      return size === REPLICAS && (await balanced(host)) === before + REPLICAS;
    };
    await waitUntil(isWhole, { what: `${host} to balance in the kernel`, timeoutMs: CONVERGE_TIMEOUT_MS });
  };

  test("every host answers right after the deploy", async () => {
    const { code, stdout, stderr } = await deploy(lab, "who", COMPOSE);
    expect(code, stdout + stderr).toBe(0);
    for (const answer of await Promise.all(lab.hosts.map(({ address }) => askWho(address)))) {
      expect(answer.replica).toMatch(/^[0-9a-f]{12}$/);
    }
  });

  test("node inspect reports the kernel path with its reason", async () => {
    const { stdout } = await lab.berth(["node", "inspect", "h1"]);
    const [node] = JSON.parse(stdout) as readonly InspectedNode[];
    expect(node?.dataPlane).toMatchObject({ kernel: true, kernelReason: "supported by the kernel" });
    expect((await lab.berth(["node", "inspect", "--pretty", "h1"])).stdout).toMatch(/Ingress: +kernel/);
  });

  test("each host balances in turn and shows the client's address to its own replicas", async () => {
    for (const host of ["h1", "h2", "h3"]) {
      const { address } = lab.host(host);
      await kernelBalances(host);
      const before = await balanced(host);
      const answers = new Map<string, string[]>();
      for (let request = 0; request < REPLICAS * ROUNDS; request += 1) {
        const { replica, seen } = await askWho(address);
        answers.set(replica, [...(answers.get(replica) ?? []), seen]);
      }
      expect(await balanced(host)).toBe(before + REPLICAS * ROUNDS);
      expect([...answers.values()].map((each) => each.length)).toEqual(Array(REPLICAS).fill(ROUNDS));
      const own = (await listRunning(lab, "who_web")).filter((container) => container.host === host);
      const shortIds = new Set(own.map(({ id }) => id.slice(0, 12)));
      expect(shortIds.size).toBe(REPLICAS / 3);
      for (const [replica, seen] of answers) {
        const expected = shortIds.has(replica) ? clientAddress(address) : address;
        expect([replica, ...new Set(seen)]).toEqual([replica, expected]);
      }
    }
  });

  test("metrics-access: the leader's metrics, which other hosts do not get, count each service's connections on each host", async () => {
    const { httpUrl } = lab.serverMachine;
    // A busy host may not report its counters in time.
    const metrics = await waitUntil(
      async () => {
        const text = await lab.serverMachine.readMetrics();
        return text.includes('berth_traffic_nodes{result="ok"} 3\n') && text;
      },
      { what: "the counters of three hosts", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    // Other hosts need a certificate for the metrics, and none for the health.
    expect((await fetch(`${httpUrl}/metrics`)).status).toBe(403);
    expect((await fetch(`${httpUrl}/healthz`)).status).toBe(200);
    for (const host of ["h1", "h2", "h3"]) {
      const labels = `stack="who",service="who_web",port="${PORT}/tcp",node="${host}"`;
      const [, count = "0"] =
        new RegExp(`berth_service_connections_total{${labels}} (\\d+)`).exec(metrics) ?? [];
      expect([host, Number(count)]).toEqual([host, await entered(host)]);
      expect(metrics).toContain(`berth_service_failures_total{${labels}} 0\n`);
    }
  });

  test("affinity source sends a client's address to the same replica from the kernel of every host", async () => {
    const { code, stdout, stderr } = await deploy(lab, "rules", RULES);
    expect(code, stdout + stderr).toBe(0);
    for (const host of ["h1", "h2", "h3"]) {
      const isBalanced = async (): Promise<boolean> => {
        const soFar = await entered(host, STICKY_PORT);
        await askSticky(host);
        return (await entered(host, STICKY_PORT)) > soFar;
      };
      const what = `${host} to balance ${STICKY_PORT} in the kernel`;
      await waitUntil(isBalanced, { what, timeoutMs: CONVERGE_TIMEOUT_MS });
      const before = await entered(host, STICKY_PORT);
      const replicas = await Promise.all(Array.from({ length: 9 }, () => askSticky(host)));
      expect([...new Set(replicas)]).toHaveLength(1);
      expect(await entered(host, STICKY_PORT)).toBe(before + 9);
    }
    const fromH1 = (to: string): Promise<string> =>
      run("h1", process.execPath, "-e", clientOf(lab.host(to).address, STICKY_PORT));
    const seen = [await fromH1("h2"), await fromH1("h3"), await fromH1("h2")];
    expect([...new Set(seen.map((answer) => answer.split(" ")[0]))]).toHaveLength(1);
  });

  test("proxy_protocol sends the client's address in the header from every host", async () => {
    for (const { name, address } of lab.hosts) {
      const answer = await exchange({ host: address, port: PROXIED_PORT, text: "hello" });
      expect(answer).toBe(`${PROXY_V2} ${clientAddress(address)} ${address} ${PROXIED_PORT} hello`);
      expect(await entered(name, PROXIED_PORT)).toBe(0);
    }
  });

  test("a host's programs and containers reach the port on every address of the host", async () => {
    const { address } = lab.host("h1");
    for (const target of ["127.0.0.1", address, "::1"]) {
      const answer = await run("h1", process.execPath, "-e", clientOf(target, PORT));
      expect(answer, target).toMatch(/^[0-9a-f]{12} /);
    }
    const own = (await listRunning(lab, "who_web")).filter((container) => container.host === "h1");
    for (const { id } of own) {
      for (let request = 0; request < REPLICAS; request += 1) {
        const answer = await run("h1", "docker", "exec", id, "/usr/bin/node", "-e", clientOf(address, PORT));
        expect(answer).toMatch(/^[0-9a-f]{12} /);
      }
    }
  });

  test("the agent restores the table after nft flush ruleset without a failed connection", async () => {
    const { address } = lab.host("h2");
    await run("h2", "nft", "flush", "ruleset");
    const answers = await Promise.all(Array.from({ length: 30 }, () => askWho(address)));
    expect(answers).toHaveLength(30);
    await waitUntil(() => hasTable("h2"), {
      what: "the table to be restored",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await kernelBalances("h2");
  });

  test("a restart of dockerd restores the rules that accept balanced connections", async () => {
    await restartDockerd(lab.host("h2"));
    await waitForReplicas(lab, "who_web", REPLICAS);
    for (const host of ["h1", "h2"]) await kernelBalances(host);
    const isAllowed = async () => (await run("h2", "iptables", "-S", "DOCKER-USER")).includes("connmark");
    await waitUntil(isAllowed, { what: "the rule in DOCKER-USER", timeoutMs: CONVERGE_TIMEOUT_MS });
  });

  test("the kernel keeps balancing while agent and ingress process are replaced", async () => {
    const { address } = lab.host("h3");
    await lab.host("h3").killProcess("agent");
    await lab.host("h3").killProcess("ingress");
    expect((await Promise.all(Array.from({ length: 12 }, () => askWho(address)))).length).toBe(12);
    await lab.host("h3").startAgent();
    await waitUntil(async () => lab.host("h3").processes("ingress").length === 1, {
      what: "the ingress process to start",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    expect(await askWho(address)).toMatchObject({ replica: expect.stringMatching(/^[0-9a-f]{12}$/) });
  });
});

/** Returns this machine's address on the connection to a host. */
function clientAddress(host: string): string {
  return ourAddresses.get(host) ?? "";
}

const ourAddresses = new Map<string, string>();

async function askWho(host: string): Promise<{ readonly replica: string; readonly seen: string }> {
  const [replica = "", seen = ""] = (await exchange({ host, port: PORT, text: "" })).split(" ");
  return { replica, seen };
}

/** Connects, sends the text and returns the complete reply. */
function exchange({
  host,
  port,
  text,
}: {
  readonly host: string;
  readonly port: number;
  readonly text: string;
}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 5_000 });
    let answer = "";
    socket.on("connect", () => {
      ourAddresses.set(host, socket.localAddress ?? "");
      if (text !== "") socket.write(text);
    });
    socket.on("data", (chunk) => {
      answer += String(chunk);
    });
    socket.on("timeout", () => socket.destroy(new Error(`no reply from ${host}`)));
    socket.on("error", reject);
    socket.on("end", () => resolve(answer));
  });
}

/** Returns a Node script that prints the reply of a port. */
function clientOf(host: string, port: number): string {
  return `require("node:net").connect(${port}, "${host}").on("data", (text) => console.log(String(text)))`;
}
