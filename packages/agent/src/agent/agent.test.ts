import { pino } from "pino";
import { expect, test, vi } from "vitest";
import type { Engine } from "../engine/engine.js";
import { runAgent } from "./agent.js";
import type { AgentPlatform } from "./platform.js";

const config = { servers: ["127.0.0.1:1"], advertiseAddress: "10.0.0.1" };
const log = pino({ level: "silent" });
const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

/** A host without containers, whose ingress process does not start. */
function platformWith(parts: Partial<AgentPlatform>): AgentPlatform {
  const engine: Partial<Engine> = {
    connect: vi.fn(({ signal }) => never(signal)),
    volumes: async () => [],
    networks: async () => [],
  };
  const platform: Partial<AgentPlatform> = {
    nodeId: "node1",
    hostname: "host1",
    host: { generic: {}, pidLimit: async () => 0, listeners: async () => [] },
    engine: engine as Engine,
    networking: {
      wireguardPublicKey: "",
      devices: {
        observe: () => Promise.reject(new Error("no ip")),
        observePorts: () => Promise.reject(new Error("no ip")),
        execute: async () => {},
      },
      detectKernelSupport: (signal) => never(signal),
    },
    transport: {
      connect: () => {
        const next = () => Promise.reject(new Error("no server"));
        const session = () => ({ [Symbol.asyncIterator]: () => ({ next }) });
        return { calls: { session }, close: () => {} };
      },
    } as unknown as AgentPlatform["transport"],
    probe: async () => true,
    peerProbe: async () => true,
    checkPort: async () => "accepted",
    stateDirectory: {
      read: async () => undefined,
      write: async () => {},
      writeShared: async () => "",
      pathOf: (name) => name,
      quarantine: async (name) => name,
    },
    taskFiles: {
      directory: "/files",
      list: async () => [],
      write: async () => {},
      remove: async () => {},
      swapProblem: "",
    },
    readUsage: async () => undefined,
    openIngress: () => Promise.reject(new Error("no ingress process")),
    release: vi.fn(),
    ...parts,
  };
  return platform as AgentPlatform;
}

test.each([
  ["fails to start", () => Promise.reject(new Error("broken"))],
  ["hangs", (_: unknown, signal: AbortSignal) => never(signal)],
])("an agent whose ingress process %s still connects to Docker", async (_, openIngress) => {
  const stopping = new AbortController();
  const platform = platformWith({ openIngress });
  const running = runAgent({ config, platform, log }, stopping.signal);
  await vi.waitFor(() => expect(platform.engine.connect).toHaveBeenCalled());
  stopping.abort();
  await running;
  expect(platform.release).toHaveBeenCalled();
});

test("an agent whose metrics address is in use stops all parts, releases its data directory and rejects", async () => {
  const signals: AbortSignal[] = [];
  const platform = platformWith({
    openIngress: (_, signal) => {
      signals.push(signal);
      return never(signal);
    },
    serveMetrics: () => Promise.reject(new Error("cannot listen on 127.0.0.1:9100: address in use")),
  });
  const running = runAgent({ config, platform, log }, new AbortController().signal);
  await expect(running).rejects.toThrow("address in use");
  expect(platform.release).toHaveBeenCalledTimes(1);
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
});
