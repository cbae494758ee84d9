import { once } from "node:events";
import { type RequestOptions, request } from "node:https";
import { connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import type { Identity } from "../identity/identity.js";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { identityOf } from "../rpc/testing/tls-cluster.js";
import { type HttpListener, listenHttp } from "./listen.js";

/** The time limit of a connection is three times as long. */
const TIMEOUT_MS = 700;

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** Starts a server of a cluster that answers with the kind of the client. */
async function start(ca: TestAuthority, isLocal?: () => boolean): Promise<HttpListener> {
  const identity = await identityOf(ca, { kind: "server", id: "s1" });
  const listener = await listenHttp(
    (_request, response, client) => {
      response.end(client.kind === "unauthenticated" ? `unauthenticated: ${client.reason}` : client.kind);
    },
    {
      listen: "127.0.0.1:0",
      purpose: "metrics",
      option: "--metrics",
      requestTimeoutMs: TIMEOUT_MS,
      identity,
      ...(isLocal && { isLocal }),
    },
  );
  cleanUps.push(() => listener.close());
  return listener;
}

/** Sends a request over HTTPS, as a user of this identity. Returns the answer and the version of TLS. */
async function askAs(
  { address }: HttpListener,
  ca: TestAuthority,
  identity?: Identity,
): Promise<{ readonly text: string; readonly protocol: string | null }> {
  const { leaf } = identity === undefined ? { leaf: undefined } : (await identityOf(ca, identity)).current;
  const options: RequestOptions = {
    rejectUnauthorized: false,
    ...(leaf && { cert: leaf.certificate, key: leaf.key }),
  };
  const sent = request(`https://${address}/metrics`, { ...options, agent: false });
  sent.end();
  const [response] = await once(sent, "response");
  const protocol = response.socket.getProtocol();
  let text = "";
  for await (const chunk of response) text += chunk;
  return { text, protocol };
}

it("metrics-access: listenHttp() knows clients on its own host, with HTTP and HTTPS on one port", async () => {
  const ca = await TestAuthority.create();
  const listener = await start(ca);
  expect(await (await fetch(`http://${listener.address}/metrics`)).text()).toBe("local");
  expect((await askAs(listener, ca)).text).toBe("local");
});

it("metrics-access: listenHttp() tells users and servers of the cluster from all other clients on other hosts", async () => {
  const ca = await TestAuthority.create();
  const listener = await start(ca, () => false);
  const plain = await (await fetch(`http://${listener.address}/metrics`)).text();
  expect(plain).toBe("unauthenticated: use HTTPS with a client certificate");
  const user: Identity = { kind: "user", name: "monitoring" };
  expect(await askAs(listener, ca, user)).toEqual({ text: "member", protocol: "TLSv1.3" });
  expect((await askAs(listener, ca, { kind: "server", id: "s2" })).text).toBe("member");
  expect((await askAs(listener, ca)).text).toBe("unauthenticated: the client has no certificate");
  const node: Identity = { kind: "node", id: "n1" };
  expect((await askAs(listener, ca, node)).text).toBe("unauthenticated: the client has a node's certificate");
  const foreign = await TestAuthority.create();
  expect((await askAs(listener, foreign, user)).text).toMatch(
    /^unauthenticated: the server rejected the certificate/,
  );
});

it("metrics-access: listenHttp() closes connections without a request", async () => {
  const listener = await start(await TestAuthority.create());
  const port = Number(listener.address.split(":")[1]);
  // Nothing, half a request, and half a handshake.
  await Promise.all(
    ["", "GET /metrics HTTP/1.1\r\n", "\x16\x03\x01"].map(async (bytes) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      if (bytes !== "") socket.write(bytes, "latin1");
      await once(socket.resume(), "close", { signal: AbortSignal.timeout(10 * TIMEOUT_MS) });
    }),
  );
});
