import { connect } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ImageServiceService } from "../../gen/berth/v1/image.js";
import { BerthError } from "../errors.js";
import { TestAuthority } from "../identity/testing/test-authority.js";
import { nodeTlsOptions } from "./credentials.js";
import { type DownloadOptions, download } from "./download-client.js";
import { DOWNLOAD_PROTOCOL, MAX_LINE_BYTES } from "./download-protocol.js";
import type { DownloadService } from "./download-server.js";
import { PERMISSIONS } from "./permissions.js";
import type { RotatingIdentity } from "./rpc-identity.js";
import type { RpcServer } from "./server.js";
import { identityOf } from "./testing/tls-cluster.js";
import { splitAddress } from "./tls-listener.js";
import { grpcTransport } from "./transport.js";

/** More than a buffer. */
const CONTENT = Buffer.alloc(100_000, "the content of a layer ");

let ca: TestAuthority;
let reader: RotatingIdentity;
let server: RpcServer;
let received: Buffer[];

/** Serves CONTENT, with a wrong size as "short" and "long". */
const downloads: DownloadService = {
  method: ImageServiceService.readLayer.path,
  serve: async (name, send) => {
    const difference = { full: 0, short: 1, long: -1 }[name];
    if (difference === undefined) {
      throw new BerthError({ code: "BERTH_NOT_FOUND", message: `no layer ${name}` });
    }
    const sizeBytes = CONTENT.length + difference;
    await send({ sizeBytes, writeTo: async (output, at) => void output.write(CONTENT.subarray(at)) });
  },
};

async function serve(service: DownloadService | undefined): Promise<RpcServer> {
  const identity = await identityOf(ca, { kind: "node", id: "n1" });
  return grpcTransport(identity).serve({
    address: "127.0.0.1:0",
    services: [],
    access: { permissions: PERMISSIONS, rolesOf: () => ["admin"] },
    ...(service && { downloads: service }),
  });
}

function get(name: string, options: Partial<DownloadOptions> = {}, identity = reader): Promise<boolean> {
  return download(identity, name, {
    address: server.address,
    nodeId: "n1",
    offset: 0,
    write: (bytes) => void received.push(Buffer.from(bytes)),
    signal: new AbortController().signal,
    ...options,
  });
}

beforeEach(async () => {
  ca = await TestAuthority.create();
  reader = await identityOf(ca, { kind: "node", id: "n2" });
  server = await serve(downloads);
  received = [];
});
afterEach(() => server.close(0));

it("download() passes on the content from an offset, one part after another", async () => {
  for (const offset of [0, 4, CONTENT.length]) {
    received = [];
    let writing = 0;
    const write = async (bytes: Uint8Array): Promise<void> => {
      writing += 1;
      expect(writing).toBe(1);
      received.push(Buffer.from(bytes));
      await new Promise(setImmediate);
      writing -= 1;
    };
    expect(await get("full", { offset, write })).toBe(true);
    expect(Buffer.concat(received).equals(CONTENT.subarray(offset))).toBe(true);
  }
});

it("download() fails with the error of the agent, or of the consumer", async () => {
  await expect(get("other")).rejects.toMatchObject({ code: "BERTH_NOT_FOUND", message: "no layer other" });
  const offset = CONTENT.length + 1;
  await expect(get("full", { offset })).rejects.toMatchObject({ code: "BERTH_INPUT_INVALID" });
  const full = Object.assign(new Error("the disk is full"), { code: "ENOSPC" });
  await expect(get("full", { write: () => Promise.reject(full) })).rejects.toBe(full);
});

it("download() fails when the content is not as long as announced", async () => {
  await expect(get("short")).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
  await expect(get("long")).rejects.toMatchObject({ code: "BERTH_PROTOCOL" });
});

it("download() is refused without the permission for the method, and by a node of another cluster", async () => {
  const user = await identityOf(ca, { kind: "user", name: "admin" });
  await expect(get("full", {}, user)).rejects.toMatchObject({ code: "BERTH_PERMISSION_DENIED" });
  const stranger = await identityOf(await TestAuthority.create(), { kind: "node", id: "n2" });
  await expect(get("full", {}, stranger)).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
  expect(received).toEqual([]);
});

it("download() accepts only the agent of the node", async () => {
  await expect(get("full", { nodeId: "n3" })).rejects.toMatchObject({
    code: "BERTH_NODE_UNREACHABLE",
    message: expect.stringContaining("n3"),
  });
});

it("download() returns false when the agent serves gRPC only", async () => {
  await server.close(0);
  server = await serve(undefined);
  expect(await get("full")).toBe(false);
});

it("download() ends with its signal, and with the server", async () => {
  await server.close(0);
  server = await serve({ ...downloads, serve: () => new Promise(() => {}) });
  const controller = new AbortController();
  const aborted = get("full", { signal: controller.signal });
  const closed = get("full");
  setTimeout(() => controller.abort(new Error("enough")), 200);
  await expect(aborted).rejects.toThrow("enough");
  await server.close(0);
  await expect(closed).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
});

it("a server rejects malformed requests, and requests without an end", async () => {
  const ask = (request: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const tls = nodeTlsOptions(reader.current, "n1");
      const options = { ...splitAddress(server.address), ...tls, ALPNProtocols: [DOWNLOAD_PROTOCOL] };
      const socket = connect(options, () => socket.write(request));
      let answer = "";
      socket.setEncoding("utf8").on("data", (text: string) => {
        answer += text;
      });
      socket.once("end", () => resolve(answer)).once("error", reject);
    });
  for (const request of ["\n", "[]\n", '{"name":1,"offset":0}\n', '{"name":"full","offset":-1}\n']) {
    expect(await ask(request)).toContain("BERTH_PROTOCOL");
  }
  expect(await ask("x".repeat(MAX_LINE_BYTES + 1))).toContain("BERTH_PROTOCOL");
});
