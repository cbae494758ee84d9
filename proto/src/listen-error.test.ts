import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import { listenError } from "./listen-error.js";

const advice = "choose another address with --metrics";

async function failToListen(host: string, port: number): Promise<unknown> {
  const server = createServer().listen(port, host);
  return once(server, "listening").catch((error: unknown) => error);
}

it("reports a port that another process uses as BERTH_ADDRESS_IN_USE", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { readonly port: number };
  const cause = await failToListen("127.0.0.1", port);
  server.close();
  expect(listenError({ address: `127.0.0.1:${port}`, purpose: "metrics", advice, cause })).toMatchObject({
    code: "BERTH_ADDRESS_IN_USE",
    message: `cannot listen on 127.0.0.1:${port} for metrics: another process listens on this port; ${advice}`,
  });
});

it("reports an address of another host as invalid input", async () => {
  const cause = await failToListen("192.0.2.1", 0);
  expect(listenError({ address: "192.0.2.1:0", advice, cause })).toMatchObject({
    code: "BERTH_INPUT_INVALID",
    message: `cannot listen on 192.0.2.1:0: the address does not belong to this host; ${advice}`,
  });
});

it("finds the system error in a message of grpc-js", () => {
  const cause = new Error("No address added out of total 1 resolved errors: [listen EADDRINUSE: address 1]");
  expect(listenError({ address: "a:1", advice, cause })).toMatchObject({ code: "BERTH_ADDRESS_IN_USE" });
});

it("reports any other error with its message as BERTH_INTERNAL", () => {
  const cause = Object.assign(new Error("listen EMFILE: too many open files"), { code: "EMFILE" });
  expect(listenError({ address: "a:1", advice, cause })).toMatchObject({
    code: "BERTH_INTERNAL",
    message: `cannot listen on a:1: listen EMFILE: too many open files; ${advice}`,
  });
});
