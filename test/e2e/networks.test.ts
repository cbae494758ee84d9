import { createSocket } from "node:dgram";
import { once } from "node:events";
import { decode, encode } from "dns-packet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliCommand } from "../../deploy/lab/berth-commands.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { labPaths } from "../../deploy/lab/paths.js";
import { run, runOrThrow } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  restartDockerd,
  waitForNetworks,
  waitForReplicas,
} from "./support/cluster.js";
import { listRunning } from "./support/containers.js";

/** Each tier runs on another host. Only `api` is in both networks. */
const THREE_TIERS = `
services:
  web:
    image: hello:1
    ports: ["8080:80"]
    networks: [front]
    stop_grace_period: 1s
    deploy: { placement: { constraints: [node.hostname == h1] } }
  api:
    image: hello:1
    networks: { front: { aliases: [backend] }, back: }
    stop_grace_period: 1s
    deploy: { replicas: 3 }
  db:
    image: hello:1
    hostname: storage
    networks: [back]
    stop_grace_period: 1s
    deploy: { placement: { constraints: [node.hostname == h3] }, endpoint_mode: dnsrr }
networks:
  front:
  back: { internal: true }
`;

/** Services in the stack's default network, with names and resolver options. */
const pair = (nameServer: string): string => `
services:
  web:
    image: hello:1
    hostname: front-door
    domainname: berth.test
    extra_hosts: ["legacy:10.9.8.7", "old=10.9.8.6"]
    links: ["api:linked"]
    external_links: ["the-api:outer", "pair-api-1:first"]
    deploy: { placement: { constraints: [node.hostname == h1] } }
  api:
    image: hello:1
    container_name: the-api
    dns: ${nameServer}
    dns_search: [nosuch.test, berth.test]
    dns_opt: ["ndots:2", "timeout:3"]
    deploy: { placement: { constraints: [node.hostname == h2] } }
`;

/** Address to which the outside DNS server resolves every name. */
const OUTSIDE = "192.0.2.80";

describe("networks across three hosts", () => {
  let lab: Lab;
  /** This machine's address in the lab, where the outside DNS server listens. */
  let nameServer: string;
  const outside = createSocket("udp4");

  beforeAll(async () => {
    lab = await createCluster(3);
    nameServer = lab.host("h1").address.replace(/\d+$/, "1");
    outside.on("message", (bytes, { port, address }) => {
      const { id = 0, questions = [] } = decode(bytes);
      const answers = questions.flatMap(({ type, name }) =>
        type === "A" ? [{ type, name, data: OUTSIDE } as const] : [],
      );
      outside.send(encode({ type: "response", id, questions, answers }), port, address);
    });
    outside.bind(53, nameServer);
    await once(outside, "listening");
    // Networks with more than two hosts use static forwarding instead of flooding. The stack "pair" has only two.
    lab.serverMachine.berthServer.extraArgs = ["--network-flood-limit", "2"];
    await lab.serverMachine.killProcess("server", "SIGKILL");
    await lab.serverMachine.startServer();
    await waitForNetworks(lab);
  });
  afterAll(async () => {
    outside.close();
    await lab?.down();
  });

  const busybox = (service: string, ...command: string[]) =>
    lab.berth(["exec", service, "/usr/bin/busybox", ...command]);

  /** Returns the addresses to which a name resolves in a service's container. */
  async function resolve(service: string, name: string): Promise<readonly string[]> {
    const { stdout } = await busybox(service, "nslookup", name);
    return [...stdout.matchAll(/^Address: (\S+)$/gm)].map(([, address = ""]) => address);
  }

  /** Fetches from the first address of a name in a service's container. Undefined without a reply. */
  async function fetchFrom(service: string, name: string): Promise<string | undefined> {
    const [address] = await resolve(service, name);
    if (address === undefined) return undefined;
    const { code, stdout } = await busybox(service, "wget", "-q", "-O", "-", `http://${address}/`);
    return code === 0 ? stdout.trim() : undefined;
  }

  /** Waits until a service's container gets a reply from a name, and returns it. */
  async function waitForReply(service: string, name: string): Promise<string> {
    let body: string | undefined;
    await waitUntil(
      async () => {
        body = await fetchFrom(service, name);
        return body !== undefined;
      },
      { what: `a reply from ${name} to ${service}`, timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    return body ?? "";
  }

  /** Runs `berth doctor` on a host. Returns the verdicts by subject. */
  async function diagnosis(host: string): Promise<ReadonlyMap<string, string>> {
    const machine = lab.host(host);
    const args = ["doctor", "--advertise", machine.address, "--data-dir", machine.agentDataDir, "-o", "json"];
    const { stdout } = await machine.exec(cliCommand(args));
    const { findings } = JSON.parse(stdout) as {
      readonly findings: readonly { readonly subject: string; readonly verdict: string }[];
    };
    return new Map(findings.map(({ subject, verdict }) => [subject, verdict]));
  }

  async function networksOn(host: string): Promise<readonly string[]> {
    const socket = `unix://${lab.host(host).dockerSocket}`;
    const { stdout } = await run(["docker", "-H", socket, "network", "ls", "--format", "{{.Name}}"]);
    return stdout.split("\n").filter((name) => name.includes("_"));
  }

  test("stack deploy creates and lists them", async () => {
    // Imitates a firewall that drops all traffic that is not explicitly allowed.
    await lab.host("h2").exec(["iptables", "-A", "INPUT", "-i", "bth+", "-j", "DROP"]);
    const { code, stdout, stderr } = await deploy(lab, "shop", THREE_TIERS);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("Creating network shop_front\nCreating network shop_back\n");
    const { stdout: listed } = await lab.berth(["network", "ls"]);
    expect(listed).toMatch(/shop_back\s+overlay\s+cluster\s+10\.\S+\s+3\s+2/);
  });

  test("services reach each other by name on any host", async () => {
    for (const name of ["api", "backend", "api.front", "tasks.api", "api.shop", "shop_api"]) {
      await waitForReply("shop_web", name);
    }
    await waitForReply("shop_api.1", "db");
    await waitForReply("shop_api.1", "storage");
    // `db` is in an internal network only.
    await waitForReply("shop_db", "api");
    const bodies = new Set<string>();
    await waitUntil(async () => bodies.add(await waitForReply("shop_web", "api")).size === 3, {
      what: "replies from all three replicas",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  });

  test("networks with more hosts than the flood limit do not flood", async () => {
    const { stdout } = await lab.host("h1").exec(["bridge", "fdb", "show"]);
    const tunnels = stdout.split("\n").filter((line) => line.includes("dev btv"));
    expect(tunnels.filter((line) => line.startsWith("00:00:00:00:00:00"))).toEqual([]);
    expect(tunnels.filter((line) => line.includes("self static")).length).toBeGreaterThanOrEqual(3);
  });

  test("doctor detects that containers cannot resolve names", async () => {
    const h2 = lab.host("h2");
    const names = async (): Promise<readonly string[]> => {
      const ofNames = [...(await diagnosis("h2"))].filter(([subject]) => subject.startsWith("DNS in"));
      return ofNames.map(([subject, verdict]) => `${subject}: ${verdict}`).sort();
    };
    await expect.poll(names).toEqual(["DNS in shop_back: ok", "DNS in shop_front: ok"]);
    const chain = "{ type filter hook input priority 0; }";
    await h2.exec(["nft", `add table ip wall; add chain ip wall in ${chain}`]);
    await h2.exec(["nft", "add rule ip wall in udp dport 53 drop"]);
    await expect.poll(names).toEqual(["DNS in shop_back: failed", "DNS in shop_front: failed"]);
    await h2.exec(["nft", "delete table ip wall"]);
  });

  test("doctor checks the path to each other host and its MTU", async () => {
    const peers = async (): Promise<Readonly<Record<string, string>>> => {
      const ofPeers = [...(await diagnosis("h2"))].filter(([subject]) => subject.startsWith("peer "));
      return Object.fromEntries(ofPeers);
    };
    const subjects = ["h1", "h3"].flatMap((host) =>
      ["", " images", " MTU"].map((path) => `peer ${host}${path}`),
    );
    const allOk = Object.fromEntries(subjects.map((subject) => [subject, "ok"]));
    await expect.poll(peers).toEqual(allOk);
    const port = ["nsenter", `--net=${labPaths(lab.name).lanNetns}`, "ip", "link", "set", "h3", "mtu"];
    await runOrThrow([...port, "1400"]);
    try {
      await expect.poll(peers).toEqual({ ...allOk, "peer h3 MTU": "failed" });
    } finally {
      await runOrThrow([...port, "1500"]);
    }
  });

  test("services without a common network cannot reach each other", async () => {
    expect(await fetchFrom("shop_web", "db")).toBeUndefined();
    expect(await fetchFrom("shop_db", "web")).toBeUndefined();
  });

  test("names resolve to running tasks only", async () => {
    expect((await lab.berth(["service", "scale", "shop_api=1"])).code).toBe(0);
    await waitForReplicas(lab, "shop_api", 1);
    const bodies = new Set<string>();
    for (let asked = 0; asked < 6; asked += 1) bodies.add((await fetchFrom("shop_web", "api")) ?? "nothing");
    expect(bodies.size).toBe(1);
    expect([...bodies]).not.toContain("nothing");
  });

  test("services without a networks key join the default network", async () => {
    const { code } = await deploy(lab, "pair", pair(nameServer));
    expect(code).toBe(0);
    await waitForReply("pair_web", "api");
    await waitForReply("pair_web", "the-api");
    await waitForReply("pair_web", "linked");
    await waitForReply("pair_web", "outer");
    await waitForReply("pair_web", "first");
    expect(await fetchFrom("pair_api", "outer")).toBeUndefined();
    expect(await fetchFrom("pair_web", "db")).toBeUndefined();
  });

  test("a container has the hostname, hosts and resolver options of its Compose file", async () => {
    const outputOf = async (service: string, ...command: string[]): Promise<string> =>
      (await busybox(service, ...command)).stdout;
    expect(await outputOf("pair_web", "hostname")).toBe("front-door\n");
    expect(await outputOf("pair_web", "hostname", "-f")).toBe("front-door.berth.test\n");
    const hosts = await outputOf("pair_web", "cat", "/etc/hosts");
    expect(hosts).toMatch(/^10\.9\.8\.7\s+legacy$/m);
    expect(hosts).toMatch(/^10\.9\.8\.6\s+old$/m);

    const resolver = await outputOf("pair_api", "cat", "/etc/resolv.conf");
    expect(resolver).toMatch(/^search nosuch\.test berth\.test$/m);
    expect(resolver).toMatch(/^options ndots:2 timeout:3$/m);
    expect(await resolve("pair_api", "www.example.test")).toEqual([OUTSIDE]);
    // BusyBox's nslookup resolves a plain name in the search domains only, and a name with a final dot as it is.
    expect(await resolve("pair_api", "plain")).toContain(OUTSIDE);
    expect(await resolve("pair_api", "plain.")).toEqual([]);
    await waitForReply("pair_api", "front-door.");
  });

  test("a restart of dockerd restores the host's part of the networks", async () => {
    await restartDockerd(lab.host("h2"));
    await waitForReplicas(lab, "pair_api", 1);
    await waitForReply("pair_web", "api");
  });

  test("a subnet that contains a host's address is rejected", async () => {
    const [a, b, c] = lab.host("h1").address.split(".");
    const { code, stderr } = await lab.berth([
      "network",
      "create",
      "--subnet",
      `${a}.${b}.${c}.0/24`,
      "near",
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/the address of node h\d/);
  });

  test("stack rm removes them from every host", async () => {
    for (const stack of ["shop", "pair"]) expect((await lab.berth(["stack", "rm", stack])).code).toBe(0);
    await waitUntil(async () => (await lab.berth(["network", "ls", "-q"])).stdout === "", {
      what: "all networks to be removed",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    for (const { name } of lab.hosts) {
      await waitUntil(async () => (await networksOn(name)).length === 0, {
        what: `all networks to be removed from ${name}`,
        timeoutMs: CONVERGE_TIMEOUT_MS,
      });
    }
    expect(await listRunning(lab, "shop_web")).toEqual([]);
  });
});
