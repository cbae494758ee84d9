import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import {
  CONVERGE_TIMEOUT_MS,
  createCluster,
  deploy,
  waitForNetworks,
  waitForReplicas,
} from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { docker } from "./support/tasks.js";

/** A client on the first host, and a server on each of the others. */
const PAIR = `
services:
  client:
    image: hello:1
    stop_grace_period: 1s
    deploy: { placement: { constraints: [node.hostname == h1] } }
  api:
    image: hello:1
    stop_grace_period: 1s
    deploy:
      replicas: 2
      placement: { constraints: [node.hostname != h1], max_replicas_per_node: 1 }
`;

const BODY_BYTES = 65_536;

describe("networks over hosts when things go wrong", () => {
  let lab: Lab;
  let client: string;
  /** Of the service api. */
  let vip: readonly string[];

  beforeAll(async () => {
    lab = await createCluster(3);
    await waitForNetworks(lab);
    const { code, stdout, stderr } = await deploy(lab, "shop", PAIR);
    expect(code, stdout + stderr).toBe(0);
    await waitForReplicas(lab, "shop_api", 2);
    client = (await listRunning(lab, "shop_client"))[0]?.id ?? "";
  });
  afterAll(() => lab?.down());

  /** What the client gets; undefined: nothing. */
  async function get(name: string): Promise<string | undefined> {
    const request = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 3 ${name} 80`;
    const answer = await inClient(`${request} || true`);
    return /from (\w+)/.exec(answer)?.[1];
  }

  function inClient(script: string): Promise<string> {
    return docker(lab.host("h1"), "exec", client, "/usr/bin/busybox", "sh", "-c", script).catch(() => "");
  }

  /** Who answers to a name, by many questions. */
  async function answering(name: string, times: number): Promise<ReadonlySet<string | undefined>> {
    const seen = new Set<string | undefined>();
    for (let time = 0; time < times; time += 1) seen.add(await get(name));
    return seen;
  }

  /** What the client is told that a name stands for. */
  async function addressesOf(name: string): Promise<readonly string[]> {
    const shown = await inClient(`busybox nslookup ${name} | busybox sed '1,/^$/d'`);
    return [...shown.matchAll(/^Address(?: \d+)?: ([\d.]+)/gm)].map(([, address = ""]) => address).sort();
  }

  const bothAnswer = (): Promise<true> =>
    waitUntil(
      async () => {
        const seen = await answering("api", 4);
        return seen.size === 2 && !seen.has(undefined);
      },
      { what: "both replicas answer", timeoutMs: CONVERGE_TIMEOUT_MS },
    );

  test("what is said is not cut off at the edge: the largest packet, and 64 KiB in one piece", async () => {
    await bothAnswer();
    const [replica] = await listRunning(lab, "shop_api");
    const host = lab.host(replica?.host ?? "");
    const address = await docker(
      host,
      "inspect",
      "-f",
      "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
      replica?.id ?? "",
    );
    expect(await inClient("busybox cat /sys/class/net/eth0/mtu")).toBe("1450");
    expect(await inClient(`busybox ping -c 1 -W 3 -s 1422 ${address} >/dev/null && echo whole`)).toBe(
      "whole",
    );
    const listening = docker(
      host,
      "exec",
      replica?.id ?? "",
      "/usr/bin/busybox",
      "sh",
      "-c",
      // Its input stays open: else it would end the connection at once.
      "busybox sleep 5 | busybox nc -l -p 9000 -w 10 | busybox wc -c",
    );
    await waitUntil(
      async () => {
        const holders = await docker(host, "exec", replica?.id ?? "", "/usr/bin/busybox", "netstat", "-lnt");
        return holders.includes(":9000 ");
      },
      { what: "the port is open", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    await inClient(`busybox head -c ${BODY_BYTES} /dev/zero | busybox nc -w 3 ${address} 9000`);
    expect(await listening).toBe(String(BODY_BYTES));
  });

  test("a name stands for one address, tasks. before it for those of all tasks", async () => {
    await bothAnswer();
    const tasks = await addressesOf("tasks.api");
    expect(tasks).toHaveLength(2);
    vip = await addressesOf("api");
    expect(vip).toHaveLength(1);
    expect(tasks).not.toContain(vip[0]);
  });

  test("names and connections go on while no server is there", async () => {
    await lab.server.kill();
    try {
      expect((await answering("api", 6)).has(undefined)).toBe(false);
      // The name server and the kernel know it all without the agent, too.
      await lab.host("h1").killProcess("agent");
      expect((await answering("api", 6)).has(undefined)).toBe(false);
      await lab.host("h1").startAgent();
    } finally {
      await lab.server.start();
    }
    await bothAnswer();
  });

  test("a host that loses its power leaves the names, and is back in the network when it returns", async () => {
    const lost = lab.host("h3");
    await lost.kill();
    await waitUntil(
      async () => {
        const seen = await answering("api", 4);
        return seen.size === 1 && !seen.has(undefined);
      },
      { what: "the replica that is left answers alone", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    expect(await addressesOf("api")).toEqual(vip);
    await lost.start();
    await waitForReplicas(lab, "shop_api", 2);
    await bothAnswer();
  });
});
