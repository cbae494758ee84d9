import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type {
  IngressEndpoint,
  TrafficRules,
} from "../../packages/agent/src/dataplane/table/ingress-table.js";
import { reserveTcpPort } from "../harness/reserved-ports.js";
import {
  ask,
  Cleanup,
  deadline,
  openClient,
  startBackend,
  startIngress,
  tcpListener,
} from "./ingress-harness.js";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const PLAIN: TrafficRules = { proxyProtocol: false, affinity: "none", balance: "round-robin" };
const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";

/** Starts a backend that echoes its input and sends FIN after the client. */
function startEcho(id: string): Promise<IngressEndpoint> {
  return startBackend(cleanup, id, (socket) => socket.pipe(socket));
}

/** Sends a request from one of this machine's addresses. */
function askFrom(localAddress: string, port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host, port, localAddress, allowHalfOpen: true });
    cleanup.add(() => socket.destroy());
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => (text += chunk));
    socket.on("end", () => {
      socket.destroy();
      resolve(text);
    });
    socket.on("error", reject);
    socket.end("hello");
  });
}

describe.each(["raw", "net"])("a published port over the %s transport", (transport) => {
  async function publish(endpoints: readonly IngressEndpoint[], rules: Partial<TrafficRules>) {
    const ingress = await startIngress(cleanup, ["--transport", transport]);
    const port = reserveTcpPort();
    const listeners = [{ ...tcpListener(port, endpoints), traffic: { ...PLAIN, ...rules } }];
    expect((await ingress.apply({ version: 1, listeners }, deadline())).errors).toEqual([]);
    return { ingress, port };
  }

  it("sends a PROXY protocol header with the client address before the first data", async () => {
    const { port } = await publish([await startEcho("a")], { proxyProtocol: true });
    const text = await askFrom("127.0.0.9", port, "127.0.0.1");
    expect(text.slice(0, SIGNATURE.length)).toBe(SIGNATURE);
    expect(text.slice(-5)).toBe("hello");
    const header = Buffer.from(text.slice(SIGNATURE.length, -5), "latin1");
    // Version 2, PROXY, TCP over IPv4, 12 bytes; from, to, and the ports.
    expect(header.subarray(0, 12).toString("hex")).toBe("2111000c7f0000097f000001");
    expect(header.readUInt16BE(14)).toBe(port);
  });

  it("sends a PROXY protocol header for IPv6 clients", async () => {
    const { port } = await publish([await startEcho("a")], { proxyProtocol: true });
    const text = await askFrom("::1", port, "::1");
    const header = Buffer.from(text.slice(SIGNATURE.length, -5), "latin1");
    const loopback = "00000000000000000000000000000001";
    expect(header.subarray(0, 36).toString("hex")).toBe(`21210024${loopback}${loopback}`);
    expect(header.readUInt16BE(38)).toBe(port);
    expect(text.slice(-5)).toBe("hello");
  });

  it("source affinity: sends all connections of a client to one endpoint", async () => {
    const named = (id: string): Promise<IngressEndpoint> =>
      startBackend(cleanup, id, (socket) => socket.end(id));
    const endpoints = await Promise.all(["a", "b", "c"].map(named));
    const { port } = await publish(endpoints, { affinity: "source" });
    const clients = Array.from({ length: 12 }, (_, index) => `127.0.1.${index + 1}`);
    const round = async (): Promise<readonly string[]> => {
      const answers: string[] = [];
      for (const client of clients) answers.push(await askFrom(client, port, "127.0.0.1"));
      return answers;
    };
    const first = await round();
    expect(await round()).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(1);
  });

  it("least connections: picks the endpoint with the fewest open connections", async () => {
    const endpoints = await Promise.all(["a", "b"].map(startEcho));
    const { ingress, port } = await publish(endpoints, { balance: "least-connections" });
    const first = openClient(cleanup, port);
    first.socket.write("x");
    await expect.poll(() => first.read()).toBe("x");
    const busy = (await ingress.stats(deadline())).listeners[0]?.endpoints.find(({ active }) => active > 0);
    for (let turn = 0; turn < 4; turn += 1) {
      expect(await ask(port, "y")).toBe("y");
      // The process learns of the end of a connection after its client.
      await expect.poll(async () => (await ingress.stats(deadline())).listeners[0]?.active).toBe(1);
    }
    const [stats] = (await ingress.stats(deadline())).listeners;
    expect(stats?.endpoints.map(({ id, total }) => [id, total]).sort()).toEqual(
      ["a", "b"].map((id) => [id, id === busy?.id ? 1 : 4]),
    );
  });
});
