import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DesiredServices,
  type KernelEndpoint,
  type KernelService,
  servicesByFrontend,
} from "../../packages/agent/src/dataplane/kernel/kernel-service.js";
import { KernelTable } from "../../packages/agent/src/dataplane/kernel/kernel-table.js";
import { readTable } from "./kernel/read-table.js";

const SEED = Number(process.env.BERTH_TEST_SEED ?? 7);
const HISTORIES = 3;
const STEPS = 12;

const [changed, loaded] = ["changed", "loaded"].map(
  (role) => `berth-k-${process.pid}-${randomBytes(2).toString("hex")}-${role}`,
) as [string, string];
beforeAll(() => {
  for (const namespace of [changed, loaded]) execFileSync("ip", ["netns", "add", namespace]);
});
afterAll(() => {
  for (const namespace of [changed, loaded]) execFileSync("ip", ["netns", "del", namespace]);
});

function run(namespace: string, script: string): void {
  if (script === "") return;
  execFileSync("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: script });
}

/** Returns a generator of pseudo-random numbers (Mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) % below;
  };
}

function endpoint(number: number): KernelEndpoint {
  const node = `n${number % 3}`;
  if (number % 3 === 0) {
    const address = `172.30.0.${10 + number}`;
    return {
      id: `t${number}`,
      node,
      address,
      port: 80,
      clientAddress: "preserved",
      localSubnet: "172.30.0.0/16",
    };
  }
  const address = `10.0.0.${number % 3}`;
  return {
    id: `t${number}`,
    node,
    address,
    port: 30_000 + number,
    clientAddress: "masqueraded",
    localSubnet: "",
  };
}

function randomLayout(random: (below: number) => number): DesiredServices {
  const services: KernelService[] = [];
  for (let index = 0; index < 8; index += 1) {
    if (random(4) === 0) continue;
    const protocol = index % 4 === 3 ? "udp" : "tcp";
    const endpoints = Array.from({ length: 5 }, (_, slot) => endpoint(index * 5 + slot)).filter(
      () => random(3) > 0,
    );
    if (endpoints.length === 0) continue;
    const frontend =
      index % 3 === 2
        ? ({ kind: "bound", protocol, address: `10.96.0.${index}`, port: 80 } as const)
        : ({ kind: "port", protocol, port: 8_000 + index } as const);
    services.push({ frontend, balance: index === 1 ? "source-hash" : "round-robin", endpoints });
  }
  return servicesByFrontend(services);
}

describe("the nftables table", () => {
  it.each(Array.from({ length: HISTORIES }, (_, index) => SEED + index))(
    "is the same after incremental changes as after a full load (seed %i)",
    (seed) => {
      const random = generator(seed);
      const table = new KernelTable(2);
      run(changed, table.load(randomLayout(random)));
      for (let step = 0; step < STEPS; step += 1) {
        const wanted = randomLayout(random);
        for (;;) {
          const { script, isComplete: isDone } = table.nextChange(wanted);
          run(changed, script);
          if (isDone) break;
          expectNoRemovedEndpoints(wanted);
        }
        run(loaded, new KernelTable().load(wanted));
        const result = readTable(changed);
        expect(result).toEqual(readTable(loaded));
        expect(result.orphans).toBe(0);
        expect(Object.keys(result.frontends)).toHaveLength(wanted.size);
      }
    },
  );

  it("produces no script when nothing changes", () => {
    const wanted = randomLayout(generator(1));
    const table = new KernelTable();
    table.load(wanted);
    expect(
      table.nextChange(servicesByFrontend([...wanted.values()].map((each) => structuredClone(each)))),
    ).toEqual({
      script: "",
      isComplete: true,
    });
  });

  it("starts with another member after each change, so that frequent changes favor none", () => {
    const frontend = { kind: "port", protocol: "tcp", port: 80 } as const;
    const table = new KernelTable();
    const all = [endpoint(1), endpoint(2), endpoint(4)];
    table.load(servicesByFrontend([{ frontend, balance: "round-robin", endpoints: all }]));
    const first = new Set<string | undefined>();
    for (let change = 0; change < 6; change += 1) {
      const endpoints = change % 2 === 0 ? [...all, endpoint(5)] : all;
      const { script } = table.nextChange(
        servicesByFrontend([{ frontend, balance: "round-robin", endpoints }]),
      );
      first.add(/add element ip berth tcp-members\d+ \{ \d+ : ([\d.]+ \. \d+)/.exec(script)?.[1]);
    }
    expect(first.size).toBeGreaterThan(2);
  });
});

/** Checks that no removed endpoint is picked between the transactions of one change. */
function expectNoRemovedEndpoints(wanted: DesiredServices): void {
  const allowed = new Set<string>(["hole", "source"]);
  for (const { endpoints } of wanted.values()) {
    for (const { address, port } of endpoints) allowed.add(`${address}:${port}`);
  }
  for (const behind of Object.values(readTable(changed).frontends)) {
    for (const each of behind) expect(allowed).toContain(each);
  }
}
