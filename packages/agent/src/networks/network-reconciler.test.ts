import { pino } from "pino";
import { describe, expect, it, test } from "vitest";
import { dockerNetworkOf, HOST, networkWith, observedWith } from "../core/networks/testing.js";
import { EngineError } from "../engine/engine-error.js";
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
    devices: { observe: async () => observedWith(), observePorts: async () => [], execute: async () => {} },
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

describe("NetworkReconciler", () => {
  const message = "Failed to Setup IP tables: (iptables failed: No chain/target/match by that name.)";

  it.each([
    [
      "dockerd cannot add firewall rules for it",
      { createNetwork: failWith(new EngineError("firewall", message)) },
      `Docker cannot create networks: its firewall rules are gone; restart Docker (${message})`,
    ],
    ["dockerd rejects it", { createNetwork: failWith(new EngineError("failed", "no space")) }, "no space"],
    ["dockerd does not list its networks", { networks: failWith(new Error("broken pipe")) }, "broken pipe"],
  ])("states the reason why a network is not ready when %s", async (_what, engine, reason) => {
    const network = networkWith();
    let onChange = (): void => {};
    const hasChanged = new Promise<void>((resolve) => {
      onChange = resolve;
    });
    const reconciler = new NetworkReconciler({
      engine: {
        networks: async () => [],
        createNetwork: async () => "",
        removeNetwork: async () => {},
        ...engine,
      },
      devices: { observe: async () => observedWith(), observePorts: async () => [], execute: async () => {} },
      host: HOST,
      log: pino({ level: "silent" }),
      onChange,
    });
    const stopping = new AbortController();
    const running = reconciler.run(stopping.signal);
    reconciler.setNetworks([network], { isComplete: true });
    reconciler.engineConnected();
    await hasChanged;
    stopping.abort();
    await running;
    expect(reconciler.states.get(network.id)).toEqual({ kind: "waiting", reason });
  });
});

test("NetworkReconciler creates no unencrypted network while nft fails, and removes none", async () => {
  const steps: string[] = [];
  const networks = [
    networkWith(),
    networkWith({ id: "net2", vni: 4_098, spec: { name: "sealed", encrypted: true } }),
  ];
  const reconciler = new NetworkReconciler({
    engine: {
      networks: async () => [],
      createNetwork: async ({ Name }) => Name,
      removeNetwork: async () => {},
    },
    devices: {
      observe: async () => observedWith(),
      observePorts: async () => [],
      execute: async (links) => {
        const kinds = links.map(({ kind }) => kind);
        steps.push(...kinds);
        if (kinds.includes("set-vxlan-filter")) throw new Error("nft is not installed");
      },
    },
    host: HOST,
    log: pino({ level: "silent" }),
    onChange: () => {},
  });
  const stopping = new AbortController();
  const running = reconciler.run(stopping.signal);
  reconciler.setNetworks(networks, { isComplete: true });
  reconciler.engineConnected();
  await expect
    .poll(() => [...reconciler.states.values()])
    .toEqual([
      { kind: "waiting", reason: "nft is not installed" },
      { kind: "waiting", reason: "setting up encryption: device berthwg does not exist yet" },
    ]);
  stopping.abort();
  await running;
  expect(new Set(steps)).toEqual(
    new Set(["set-vxlan-filter", "add-wireguard", "set-wireguard-peers", "bring-up-wireguard"]),
  );
});

function failWith(error: Error): () => Promise<never> {
  return () => Promise.reject(error);
}
