import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { IngressEndpoint } from "../table/ingress-table.js";
import { Balancer, type Upstream } from "./balancer.js";

/** For listeners without source affinity. */
const noAddress = (): string => {
  throw new Error("the client address is not needed");
};

function endpointsOf(count: number): readonly IngressEndpoint[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `t${index}`,
    address: `10.0.0.${index + 1}`,
    port: 80,
  }));
}

function balancerOf(count: number): Balancer {
  const balancer = new Balancer();
  balancer.update(endpointsOf(count), []);
  return balancer;
}

/** Simulates one connection: tries endpoints until one that is not dead accepts it. */
function connect(
  balancer: Balancer,
  nowMs: number,
  dead: ReadonlySet<string>,
): { taken?: string; attempts: number } {
  const tried: Upstream[] = [];
  for (;;) {
    const upstream = balancer.pick(nowMs, tried, noAddress);
    if (upstream === undefined) return { attempts: tried.length };
    tried.push(upstream);
    if (!dead.has(upstream.endpoint.id)) {
      balancer.recordSuccess(upstream);
      return { taken: upstream.endpoint.id, attempts: tried.length };
    }
    balancer.recordFailure(upstream, nowMs);
  }
}

function count(ids: readonly (string | undefined)[]): readonly number[] {
  const counts = new Map<string, number>();
  for (const id of ids) if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts.values()];
}

describe("Balancer", () => {
  it("tries other nodes before another endpoint of a node that did not answer", () => {
    const balancer = new Balancer();
    const nodes = ["n1", "n1", "n2", "n2", "n3"];
    const endpoints = endpointsOf(5).map((endpoint, index) => ({ ...endpoint, node: nodes[index] ?? "" }));
    balancer.update(endpoints, []);
    const tried: Upstream[] = [];
    for (;;) {
      const upstream = balancer.pick(0, tried, noAddress);
      if (upstream === undefined) break;
      tried.push(upstream);
    }
    expect(tried.map(({ endpoint }) => endpoint.node)).toEqual(["n1", "n2", "n3", "n1", "n2"]);
  });

  it("spreads 10,000 connections over 7 endpoints within 2 %, with a table update every 13", () => {
    const balancer = balancerOf(7);
    const taken = Array.from({ length: 10_000 }, (_, index) => {
      if (index % 13 === 0) balancer.update([...endpointsOf(7)].reverse(), []);
      return connect(balancer, index, new Set()).taken;
    });
    const counts = count(taken);
    expect(counts).toHaveLength(7);
    expect(Math.max(...counts) / Math.min(...counts)).toBeLessThanOrEqual(1.02);
  });

  it("spreads connections evenly over 6 live endpoints and rarely tries the dead one", () => {
    const balancer = balancerOf(7);
    const results = Array.from({ length: 10_000 }, (_, index) => connect(balancer, index, new Set(["t3"])));
    const counts = count(results.map(({ taken }) => taken));
    expect(counts).toHaveLength(6);
    expect(Math.max(...counts) / Math.min(...counts)).toBeLessThanOrEqual(1.02);
    expect(results.filter(({ attempts }) => attempts > 1).length).toBeLessThanOrEqual(8);
  });

  it("gives an endpoint its full share again after a successful probe", () => {
    const balancer = balancerOf(2);
    connect(balancer, 0, new Set(["t0"]));
    expect(count(Array.from({ length: 4 }, () => connect(balancer, 100, new Set()).taken))).toEqual([4]);
    expect(count(Array.from({ length: 10 }, () => connect(balancer, 1_000, new Set()).taken))).toEqual([
      5, 5,
    ]);
  });

  it("probes an endpoint with one connection at a time", () => {
    const balancer = balancerOf(2);
    connect(balancer, 0, new Set(["t0"]));
    const picks = Array.from({ length: 6 }, () => balancer.pick(1_000, [], noAddress)?.endpoint.id);
    expect(picks.filter((id) => id === "t0")).toHaveLength(1);
  });

  it("always finds a live endpoint, whichever are dead or ejected", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.tuple(fc.nat(2_000), fc.array(fc.nat(5), { maxLength: 6 })), { maxLength: 50 }),
        (size, history) => {
          const balancer = balancerOf(size);
          let nowMs = 0;
          for (const [passedMs, deadIndexes] of history) {
            nowMs += passedMs;
            const dead = new Set(deadIndexes.map((index) => `t${index}`));
            const living = endpointsOf(size).filter(({ id }) => !dead.has(id));
            const { taken, attempts } = connect(balancer, nowMs, dead);
            expect(taken === undefined).toBe(living.length === 0);
            expect(attempts).toBeLessThanOrEqual(size);
          }
        },
      ),
    );
  });

  it("never picks a draining endpoint and returns removed endpoints", () => {
    const balancer = balancerOf(3);
    const [first, second, third] = endpointsOf(3);
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("three endpoints");
    const gone = balancer.update([first], [second]);
    expect(gone.map(({ endpoint }) => endpoint)).toEqual([third]);
    expect(Array.from({ length: 5 }, () => balancer.pick(0, [], noAddress)?.endpoint)).toEqual([
      first,
      first,
      first,
      first,
      first,
    ]);
    expect(balancer.stats(0).endpoints.map(({ id, state }) => `${id} ${state}`)).toEqual([
      "t0 serving",
      "t1 draining",
    ]);
  });

  it("keeps the counters of removed endpoints by node", () => {
    const balancer = new Balancer();
    const [first, second] = ["n1", "n2"].map((node, index) => {
      return { id: `t${index}`, address: "10.0.0.1", port: 80 + index, node };
    });
    if (first === undefined || second === undefined) throw new Error("two endpoints");
    balancer.update([first, second], []);
    const upstream = balancer.pick(0, [], noAddress);
    if (upstream === undefined) throw new Error("one is picked");
    upstream.total += 3;
    balancer.recordFailure(upstream, 0);
    balancer.update([second], []);
    const { nodes } = balancer.stats(0);
    expect(nodes).toContainEqual({ node: "n1", total: 3, failed: 1 });
    expect(nodes).toContainEqual({ node: "n2", total: 0, failed: 0 });
  });

  it("counts an ejection when an endpoint starts to fail and when its node becomes suspect", () => {
    const balancer = new Balancer();
    balancer.update([{ id: "t0", address: "10.0.0.1", port: 80, node: "n1" }], []);
    const upstream = balancer.pick(0, [], noAddress);
    if (upstream === undefined) throw new Error("one is picked");
    for (const nowMs of [0, 10, 1_000]) balancer.recordFailure(upstream, nowMs);
    expect(balancer.stats(0).ejections).toBe(1);
    balancer.recordSuccess(upstream);
    balancer.recordFailure(upstream, 2_000);
    balancer.countSuspectEjections(new Set(["n1", "n2"]));
    expect(balancer.stats(0).ejections).toBe(3);
  });

  it("treats a task at another address as another endpoint", () => {
    const balancer = balancerOf(1);
    const gone = balancer.update([{ id: "t0", address: "10.0.0.9", port: 80 }], []);
    expect(gone.map(({ endpoint }) => endpoint.address)).toEqual(["10.0.0.1"]);
    expect(balancer.pick(0, [], noAddress)?.endpoint.address).toBe("10.0.0.9");
  });

  it("keeps a client with source affinity on its endpoint until that endpoint is removed", () => {
    const traffic = { proxyProtocol: false, affinity: "source", balance: "round-robin" } as const;
    const balancer = new Balancer();
    balancer.update(endpointsOf(5), [], traffic);
    const clients = Array.from({ length: 500 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    const idOf = (client: string): string | undefined => balancer.pick(0, [], () => client)?.endpoint.id;
    const before = clients.map(idOf);
    expect(clients.map(idOf)).toEqual(before);
    expect(new Set(before).size).toBe(5);
    balancer.update(endpointsOf(5).slice(1), [], traffic);
    const after = clients.map(idOf);
    expect(after).not.toContain("t0");
    const moved = clients.filter((_, index) => before[index] !== "t0" && before[index] !== after[index]);
    expect(moved).toEqual([]);
    const [first] = [balancer.pick(0, [], () => "10.1.0.1")];
    expect(balancer.pick(0, first === undefined ? [] : [first], () => "10.1.0.1")).not.toBe(first);
  });

  it("picks the endpoint with the fewest connections and takes turns on a tie", () => {
    const traffic = { proxyProtocol: false, affinity: "none", balance: "least-connections" } as const;
    const balancer = new Balancer();
    balancer.update(endpointsOf(3), [], traffic);
    const take = (): Upstream => {
      const upstream = balancer.pick(0, [], noAddress);
      if (upstream === undefined) throw new Error("no endpoint");
      upstream.connections.add({ abort: () => {} });
      return upstream;
    };
    const six = [take(), take(), take(), take(), take(), take()];
    expect(six.map(({ endpoint }) => endpoint.id)).toEqual(["t0", "t1", "t2", "t0", "t1", "t2"]);
    six[1]?.connections.clear();
    expect(take().endpoint.id).toBe("t1");
    expect(take().endpoint.id).toBe("t1");
    expect(take().endpoint.id).toBe("t2");
  });
});
