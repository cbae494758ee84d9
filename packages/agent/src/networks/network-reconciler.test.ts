import { pino } from "pino";
import { expect, test } from "vitest";
import { dockerNetworkOf, HOST, networkWith, observedWith } from "../core/networks/testing.js";
import { NetworkReconciler } from "./network-reconciler.js";

test("NetworkReconciler logs each of several lasting problems once", async () => {
  const lines: string[] = [];
  const unused = ["a", "b"].map((id) => dockerNetworkOf(networkWith({ id, spec: { name: id } })));
  let passes = 0;
  const reconciler = new NetworkReconciler({
    engine: {
      networks: async () => {
        passes += 1;
        return unused;
      },
      createNetwork: async () => "",
      removeNetwork: async (dockerId) => {
        throw new Error(`cannot remove ${dockerId}`);
      },
    },
    devices: { observe: async () => observedWith(), run: async () => {} },
    host: HOST,
    log: pino({}, { write: (line: string) => lines.push(line) }),
    onChange: () => {},
  });
  const stopping = new AbortController();
  reconciler.engineConnected();
  const running = reconciler.run(stopping.signal);
  reconciler.setNetworks([], { isComplete: true });
  while (passes < 3) {
    const before = passes;
    reconciler.requestReconcile();
    while (passes === before) await new Promise((resolve) => setImmediate(resolve));
  }
  stopping.abort();
  await running;
  const reasons = lines.map((line) => JSON.parse(line).reason);
  expect(reasons).toEqual(["cannot remove docker-a", "cannot remove docker-b"]);
});
