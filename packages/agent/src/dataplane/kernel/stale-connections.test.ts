import { describe, expect, it } from "vitest";
import { deletionArgs, targetsOnNodes, VanishedTargets, WithdrawnTargets } from "./stale-connections.js";
import { listenerWith, localEndpoint, remoteEndpoint } from "./testing.js";

describe("VanishedTargets", () => {
  it("returns the endpoints that left all lists, merged by address", () => {
    const other = { ...remoteEndpoint, id: "t4", port: 32_770 };
    const vanished = new VanishedTargets();
    const first = listenerWith({ endpoints: [remoteEndpoint, other, localEndpoint] });
    vanished.add(first);
    expect(vanished.drain()).toEqual([]);
    const draining = listenerWith({ endpoints: [localEndpoint], draining: [remoteEndpoint, other] });
    vanished.add(draining);
    vanished.remove(first);
    expect(vanished.drain()).toEqual([]);
    const one = listenerWith({ endpoints: [localEndpoint, other] });
    vanished.add(one);
    vanished.remove(draining);
    expect(vanished.drain()).toEqual([
      { protocol: "tcp", address: "10.0.0.1", port: 32_768, isReused: expect.any(Function) },
    ]);
    vanished.remove(one);
    vanished.add(listenerWith({ endpoints: [localEndpoint] }));
    expect(vanished.drain()).toEqual([
      { protocol: "tcp", address: "10.0.0.1", port: undefined, isReused: expect.any(Function) },
    ]);
  });

  it("keeps the connections of a task that got the address of its predecessor", () => {
    const vanished = new VanishedTargets();
    const before = listenerWith({ endpoints: [localEndpoint] });
    vanished.add(before);
    vanished.add(listenerWith({ endpoints: [{ ...localEndpoint, id: "next" }] }));
    vanished.remove(before);
    expect(vanished.drain()).toEqual([]);
  });

  it("reports a vanished address as reused once another task has it", () => {
    const vanished = new VanishedTargets();
    const before = listenerWith({ endpoints: [localEndpoint] });
    vanished.add(before);
    vanished.remove(before);
    const [target] = vanished.drain();
    expect(target?.isReused()).toBe(false);
    vanished.add(listenerWith({ endpoints: [{ ...localEndpoint, id: "next" }] }));
    expect(target?.isReused()).toBe(true);
  });

  it("counts a task without a route as present", () => {
    const vanished = new VanishedTargets();
    const { route, ...unrouted } = localEndpoint;
    const [before, after] = [
      listenerWith({ endpoints: [localEndpoint] }),
      listenerWith({ endpoints: [unrouted] }),
    ];
    vanished.add(before);
    vanished.add(after);
    vanished.remove(before);
    expect([route?.kind, vanished.drain()]).toEqual(["direct", []]);
    vanished.remove(after);
    expect(vanished.drain()).toEqual([
      { protocol: "tcp", address: "172.17.0.2", port: undefined, isReused: expect.any(Function) },
    ]);
  });
});

describe("WithdrawnTargets", () => {
  it("returns the TCP endpoints that left the list of serving ones, merged by address", () => {
    const withdrawn = new WithdrawnTargets();
    const other = { ...remoteEndpoint, id: "t4", port: 32_770 };
    const endpoints = [remoteEndpoint, other, localEndpoint];
    const steps = [
      listenerWith({ endpoints }),
      listenerWith({ endpoints: [other, localEndpoint], draining: [remoteEndpoint] }),
      listenerWith({ endpoints: [], draining: endpoints }),
    ];
    const drained = steps.map((listener, index) => {
      withdrawn.add(listener);
      const before = steps[index - 1];
      if (before !== undefined) withdrawn.remove(before);
      return withdrawn.drain().map(({ address, port }) => ({ address, port }));
    });
    expect(drained).toEqual([
      [],
      [{ address: "10.0.0.1", port: 32_768 }],
      [
        { address: "10.0.0.1", port: undefined },
        { address: "172.17.0.2", port: undefined },
      ],
    ]);
  });

  it("reports a target that serves again as reused", () => {
    const withdrawn = new WithdrawnTargets();
    const serving = listenerWith({ endpoints: [localEndpoint] });
    withdrawn.add(serving);
    withdrawn.drain();
    withdrawn.remove(serving);
    const [target] = withdrawn.drain();
    expect(target?.isReused()).toBe(false);
    withdrawn.add(serving);
    expect(target?.isReused()).toBe(true);
  });
});

describe("deletionArgs()", () => {
  const linesOf = (...args: Parameters<typeof deletionArgs>): readonly string[] =>
    deletionArgs(...args).map((line) => line.join(" "));
  const to = "--reply-src 10.0.0.1";

  it("selects balanced connections only", () => {
    expect(linesOf({ protocol: "udp", address: "10.0.0.1", port: 53 })).toEqual([
      `--delete --proto udp --mark 0x200000/0x200000 ${to} --reply-port-src 53`,
    ]);
  });

  it("selects no closed connections, whose clients may have reused their ports", () => {
    expect(linesOf({ protocol: "tcp", address: "10.0.0.1", port: undefined })).toEqual([
      `--delete --proto tcp --state SYN_SENT --mark 0x200000/0xa00000 ${to}`,
      `--delete --proto tcp --state ESTABLISHED --mark 0x200000/0x200000 ${to}`,
      `--delete --proto tcp --state CLOSE_WAIT --mark 0x200000/0x200000 ${to}`,
    ]);
  });
});

it("targetsOnNodes() returns the TCP addresses of a silent node", () => {
  const listeners = [
    listenerWith({
      endpoints: [remoteEndpoint, { ...remoteEndpoint, id: "t4", port: 32_770 }, localEndpoint],
    }),
    listenerWith({ protocol: "udp", endpoints: [{ ...remoteEndpoint, address: "10.0.0.7" }] }),
  ];
  const targets = targetsOnNodes(listeners, new Set(["n1"]));
  expect(targets).toEqual([{ protocol: "tcp", address: "10.0.0.1", port: undefined }]);
  expect(targets.map((target) => deletionArgs(target, { isUnansweredOnly: true }))).toEqual([
    ["--delete --proto tcp --state SYN_SENT --mark 0x200000/0xa00000 --reply-src 10.0.0.1".split(" ")],
  ]);
});
