import { beforeEach, describe, expect, it } from "vitest";
import { Balancer } from "../balancing/balancer.js";
import type { ByteStream, ConnectOptions, Transport } from "../transport/transport.js";
import { DeadlineTimer } from "./deadline-timer.js";
import { Dial } from "./dial.js";
import { HoldQueue } from "./hold-queue.js";
import { Quota } from "./quota.js";

interface Connection {
  readonly port: number;
  readonly answer: ConnectOptions["onConnect"];
  closed: boolean;
}

let nowMs: number;
let balancer: Balancer;
let connections: Connection[];
let result: { readonly port: number } | "refused" | undefined;
let holdMs: number;
let holdQueue: HoldQueue;
let maxHeld: number;
/** Number of times that a client began or ceased to wait. */
let changes: number;

beforeEach(() => {
  nowMs = 0;
  connections = [];
  result = undefined;
  holdMs = 0;
  maxHeld = 10;
  balancer = new Balancer();
  const now = (): number => nowMs;
  changes = 0;
  holdQueue = new HoldQueue({
    quota: new Quota(() => maxHeld),
    deadlines: new DeadlineTimer(now),
    now,
    onChange: () => {
      changes += 1;
    },
  });
  setEndpoints(1, 2, 3);
});

function setEndpoints(...ports: readonly number[]): void {
  const endpoints = ports.map((port) => ({ id: `task-${port}`, address: "10.0.0.1", port }));
  balancer.update(endpoints, []);
  holdQueue.retryAll();
}

/** Completes a connection when the test calls `answer`. */
const transport: Transport = {
  name: "raw",
  listen: async () => ({ close: () => {}, port: 0, handle: undefined }),
  connect: ({ port, onConnect }) => {
    const connection: Connection = { port, answer: onConnect, closed: false };
    connections.push(connection);
    const close = (): void => {
      connection.closed = true;
    };
    const stream: ByteStream = {
      read: () => {},
      pause: () => {},
      write: () => "written",
      end: () => {},
      close,
      reset: close,
      addresses: () => undefined,
    };
    return stream;
  },
};

function dial(onDone: (port: number | undefined) => void = () => {}): Dial {
  return new Dial({
    transport,
    balancer,
    holdQueue,
    deadlines: new DeadlineTimer(() => nowMs),
    now: () => nowMs,
    holdMs: () => holdMs,
    clientAddress: () => "",
    onRetry: () => {},
    onDone: (done) => {
      result = done === undefined ? "refused" : { port: done.upstream.endpoint.port };
      onDone(done?.upstream.endpoint.port);
    },
  });
}

/** Advances the clock to the deadline of the dial. */
function advanceToDeadline(of: Dial): void {
  nowMs = of.deadlineMs;
  of.expire();
}

const ports = (): readonly number[] => connections.map(({ port }) => port);

describe("Dial", () => {
  it("tries the next endpoint at once when one refuses", () => {
    dial();
    connections[0]?.answer("ECONNREFUSED");
    connections[1]?.answer(undefined);
    expect(ports()).toEqual([1, 2]);
    expect(result).toEqual({ port: 2 });
  });

  it("tries the next endpoint while one is slow and uses the first that connects", () => {
    const slow = dial();
    advanceToDeadline(slow);
    expect(nowMs).toBe(200);
    expect(ports()).toEqual([1, 2]);
    connections[0]?.answer(undefined);
    expect(result).toEqual({ port: 1 });
    expect(connections.map(({ closed }) => closed)).toEqual([false, true]);
  });

  it("waits 3 s for slow endpoints, then gives up and closes the attempts", () => {
    const silent = dial();
    while (nowMs < 2_800) advanceToDeadline(silent);
    expect(ports()).toEqual([1, 2, 3]);
    expect(result).toBeUndefined();
    advanceToDeadline(silent);
    expect(nowMs).toBe(3_000);
    expect(result).toBe("refused");
    expect(connections.every(({ closed }) => closed)).toBe(true);
  });

  it("gives up at once when every endpoint refuses", () => {
    dial();
    for (let attempt = 0; attempt < 3; attempt++) connections[attempt]?.answer("ECONNREFUSED");
    expect(ports()).toEqual([1, 2, 3]);
    expect(result).toBe("refused");
  });

  it("waits for a slow endpoint when all others refuse", () => {
    const dialled = dial();
    advanceToDeadline(dialled);
    connections[1]?.answer("ECONNREFUSED");
    connections[2]?.answer("ECONNREFUSED");
    expect(result).toBeUndefined();
    connections[0]?.answer(undefined);
    expect(result).toEqual({ port: 1 });
  });

  it("does not use an endpoint that was removed while it connected", () => {
    dial();
    balancer.update([], []);
    connections[0]?.answer(undefined);
    expect(result).toBe("refused");
    expect(connections[0]?.closed).toBe(true);
  });

  it("reports no result after it is canceled", () => {
    dial().cancel();
    connections[0]?.answer(undefined);
    expect(result).toBeUndefined();
    expect(connections[0]?.closed).toBe(true);
  });

  it("tries an endpoint that is added while all others are slow", () => {
    const dialled = dial();
    for (let attempt = 0; attempt < 3; attempt++) advanceToDeadline(dialled);
    setEndpoints(1, 2, 3, 4);
    advanceToDeadline(dialled);
    expect(ports()).toEqual([1, 2, 3, 4]);
  });

  describe("with a hold", () => {
    beforeEach(() => {
      holdMs = 10_000;
    });

    it("holds clients without an endpoint and connects them in order of arrival when one is added", () => {
      setEndpoints();
      const order: (number | undefined)[] = [];
      for (const client of [1, 2, 3]) dial((port) => order.push(port === undefined ? undefined : client));
      expect(holdQueue.counts).toEqual({ held: 3, heldTotal: 3, heldRefused: 0 });
      nowMs = 5_000;
      setEndpoints(7);
      expect(ports()).toEqual([7, 7, 7]);
      for (const { answer } of connections) answer(undefined);
      expect(order).toEqual([1, 2, 3]);
      expect(holdQueue.counts).toEqual({ held: 0, heldTotal: 3, heldRefused: 0 });
      expect(changes).toBe(6);
    });

    it("connects a batch of clients at a time, so that they fit into the listen queue of a small server", () => {
      setEndpoints();
      maxHeld = 20;
      for (let count = 0; count < maxHeld; count += 1) dial();
      setEndpoints(1);
      const expectConnected = (count: number): void => {
        for (const { answer } of connections.slice()) answer(undefined);
        expect(connections).toHaveLength(count);
        nowMs = holdQueue.deadlineMs;
        holdQueue.expire();
      };
      expectConnected(8);
      expect(nowMs).toBe(25);
      expectConnected(16);
      expectConnected(20);
      expect(holdQueue.size).toBe(0);
    });

    it("holds a client that every endpoint refuses, and lets it try again", () => {
      setEndpoints(1);
      dial();
      connections[0]?.answer("ECONNREFUSED");
      expect(holdQueue.size).toBe(1);
      nowMs = holdQueue.deadlineMs;
      holdQueue.expire();
      expect(ports()).toEqual([1, 1]);
      connections[1]?.answer(undefined);
      expect(result).toEqual({ port: 1 });
    });

    it("lets only the first of the held clients try, and the others when it has succeeded", () => {
      setEndpoints(1);
      for (let client = 0; client < 3; client++) dial();
      for (const { answer } of [...connections]) answer("ECONNREFUSED");
      nowMs = holdQueue.deadlineMs;
      holdQueue.expire();
      expect(connections).toHaveLength(4);
      connections[3]?.answer(undefined);
      expect(connections).toHaveLength(6);
    });

    it("refuses all held clients when no endpoint has listened for 5 s, and new ones at once", () => {
      setEndpoints(1);
      const refused: string[] = [];
      dial(() => refused.push("first"));
      connections[0]?.answer("ECONNREFUSED");
      dial(() => refused.push("second"));
      connections.at(-1)?.answer("ECONNREFUSED");
      for (nowMs = 500; nowMs <= 5_000; nowMs += 500) {
        expect(refused).toEqual([]);
        holdQueue.expire();
        connections.at(-1)?.answer("ECONNREFUSED");
      }
      expect(refused).toEqual(["first", "second"]);
      dial(() => refused.push("third"));
      connections.at(-1)?.answer("ECONNREFUSED");
      expect(refused).toEqual(["first", "second", "third"]);
    });

    it("refuses a client whose hold has ended", () => {
      setEndpoints();
      const held = dial();
      advanceToDeadline(held);
      expect(nowMs).toBe(10_000);
      expect(result).toBe("refused");
      expect(holdQueue.counts).toEqual({ held: 0, heldTotal: 1, heldRefused: 1 });
    });

    it("continues a hold after an attempt that lasted until its endpoint was removed", () => {
      setEndpoints(1);
      const dialled = dial();
      for (let tick = 0; tick < 10; tick++) advanceToDeadline(dialled);
      setEndpoints();
      advanceToDeadline(dialled);
      expect(connections[0]?.closed).toBe(true);
      expect(holdQueue.size).toBe(1);
      setEndpoints(2);
      connections[1]?.answer(undefined);
      expect(result).toEqual({ port: 2 });
    });

    it("refuses the held clients when the service no longer holds", () => {
      setEndpoints();
      dial();
      holdMs = 0;
      setEndpoints();
      expect(result).toBe("refused");
      expect(holdQueue.size).toBe(0);
    });

    it("refuses a client at once when the queue is full", () => {
      setEndpoints();
      maxHeld = 2;
      dial();
      dial();
      expect(result).toBeUndefined();
      dial();
      expect(result).toBe("refused");
      expect(holdQueue.size).toBe(2);
    });

    it("forgets a client that closes its connection", () => {
      setEndpoints();
      dial().cancel();
      expect(holdQueue.size).toBe(0);
    });
  });
});
