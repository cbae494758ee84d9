import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { endpointKey } from "../table/ingress-table.js";
import { datagramHandle } from "../transport/socket-handles.js";
import { Quota } from "./quota.js";
import { UdpListener } from "./udp-listener.js";

/** Returns a handle as another process would send it. */
async function connectedHandle(): Promise<unknown> {
  const socket = createSocket("udp4");
  socket.connect(9, "127.0.0.1");
  await once(socket, "connect");
  return datagramHandle(socket);
}

it("UdpListener.restore() keeps only the last flow of each client", async () => {
  const [a, b] = [9, 10].map((port) => ({ id: `task${port}`, address: "127.0.0.1", port }));
  if (a === undefined || b === undefined) throw new Error("no endpoints");
  const quota = new Quota(() => 10);
  const context = { maxFlows: 10, quota, now: () => 0, isSuspect: () => false };
  const listener = {
    ...({ protocol: "udp", address: "127.0.0.1", port: 0, service: "dns" } as const),
    endpoints: [a, b],
    draining: [],
  };
  const opened = await UdpListener.open(listener, context, { socket: undefined, flows: [] });
  onTestFinished(() => opened.close());
  const record = { listener: "", client: "127.0.0.1/5", idleMs: 0 };
  opened.restore({
    record: { ...record, endpoint: endpointKey(a), isAnswered: true },
    handle: await connectedHandle(),
  });
  opened.restore({
    record: { ...record, endpoint: endpointKey(b), isAnswered: false },
    handle: await connectedHandle(),
  });
  expect(opened.flows().map((flow) => flow.record.endpoint)).toEqual([endpointKey(b)]);
  expect([opened.stats().active, quota.used]).toEqual([1, 1]);
});
