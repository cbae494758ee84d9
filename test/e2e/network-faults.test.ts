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

/** A client on the first host, and a server on each other host. */
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

describe("overlay networks under faults", () => {
  let lab: Lab;
  let client: string;
  /** Virtual IP of the service `api`. */
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

  /** Returns the ID of the replica that answers the client, or undefined without a reply. */
  async function get(name: string): Promise<string | undefined> {
    const request = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 3 ${name} 80`;
    const answer = await inClient(`${request} || true`);
    return /from (\w+)/.exec(answer)?.[1];
  }

  function inClient(script: string): Promise<string> {
    return docker(lab.host("h1"), "exec", client, "/usr/bin/busybox", "sh", "-c", script).catch(() => "");
  }

  /** Returns the replicas that answer `times` requests to a name. Undefined stands for a failed request. */
  async function repliesFrom(name: string, times: number): Promise<ReadonlySet<string | undefined>> {
    const seen = new Set<string | undefined>();
    for (let time = 0; time < times; time += 1) seen.add(await get(name));
    return seen;
  }

  /** Returns the addresses to which a name resolves in the client. */
  async function addressesOf(name: string): Promise<readonly string[]> {
    const shown = await inClient(`busybox nslookup ${name} | busybox sed '1,/^$/d'`);
    return [...shown.matchAll(/^Address(?: \d+)?: ([\d.]+)/gm)].map(([, address = ""]) => address).sort();
  }

  const bothAnswer = (): Promise<true> =>
    waitUntil(
      async () => {
        const seen = await repliesFrom("api", 4);
        return seen.size === 2 && !seen.has(undefined);
      },
      { what: "replies from both replicas", timeoutMs: CONVERGE_TIMEOUT_MS },
    );

  test("a network carries packets of its full MTU and 64 KiB over one connection", async () => {
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
      // nc ends the connection at the end of its input, so sleep keeps it open.
      "busybox sleep 5 | busybox nc -l -p 9000 -w 10 | busybox wc -c",
    );
    await waitUntil(
      async () => {
        const holders = await docker(host, "exec", replica?.id ?? "", "/usr/bin/busybox", "netstat", "-lnt");
        return holders.includes(":9000 ");
      },
      { what: "the port to be open", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    await inClient(`busybox head -c ${BODY_BYTES} /dev/zero | busybox nc -w 3 ${address} 9000`);
    expect(await listening).toBe(String(BODY_BYTES));
  });

  test("a service name resolves to its virtual IP and tasks.NAME to the addresses of all tasks", async () => {
    await bothAnswer();
    const tasks = await addressesOf("tasks.api");
    expect(tasks).toHaveLength(2);
    vip = await addressesOf("api");
    expect(vip).toHaveLength(1);
    expect(tasks).not.toContain(vip[0]);
  });

  test("names and connections keep working without a server", async () => {
    await lab.serverMachine.kill();
    try {
      expect((await repliesFrom("api", 6)).has(undefined)).toBe(false);
      // The DNS server and the kernel need no agent either.
      await lab.host("h1").killProcess("agent");
      expect((await repliesFrom("api", 6)).has(undefined)).toBe(false);
      await lab.host("h1").startAgent();
    } finally {
      await lab.serverMachine.start();
    }
    await bothAnswer();
  });

  test("names omit the tasks of a killed host until it returns", async () => {
    const lost = lab.host("h3");
    await lost.kill();
    await waitUntil(
      async () => {
        const seen = await repliesFrom("api", 4);
        return seen.size === 1 && !seen.has(undefined);
      },
      { what: "replies from the remaining replica only", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    expect(await addressesOf("api")).toEqual(vip);
    await lost.start();
    await waitForReplicas(lab, "shop_api", 2);
    await bothAnswer();
  });
});
