import { beforeEach, describe, expect, it } from "vitest";
import { Balancer } from "../balancing/balancer.js";
import type { ByteStream, ConnectOptions, Transport } from "../transport/transport.js";
import { DeadlineTimer } from "./deadline-timer.js";
import { Dial } from "./dial.js";

interface Connection {
  readonly port: number;
  readonly answer: ConnectOptions["onConnect"];
  closed: boolean;
}

let nowMs: number;
let balancer: Balancer;
let connections: Connection[];
let result: { readonly port: number } | "refused" | undefined;

beforeEach(() => {
  nowMs = 0;
  connections = [];
  result = undefined;
  balancer = new Balancer();
  const endpoint = (port: number) => ({ id: `task-${port}`, address: "10.0.0.1", port });
  balancer.update([endpoint(1), endpoint(2), endpoint(3)], []);
});

/** Completes a connection when the test calls `answer`. */
const transport: Transport = {
  name: "raw",
  listen: async () => ({ close: () => {}, handle: undefined }),
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

function dial(): Dial {
  return new Dial({
    transport,
    balancer,
    deadlines: new DeadlineTimer(() => nowMs),
    now: () => nowMs,
    clientAddress: () => "",
    onRetry: () => {},
    onDone: (done) => {
      result = done === undefined ? "refused" : { port: done.upstream.endpoint.port };
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
    for (let attempt = 0; attempt < 3; attempt++) advanceToDeadline(silent);
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

  it("reports no result after it is cancelled", () => {
    dial().cancel();
    connections[0]?.answer(undefined);
    expect(result).toBeUndefined();
    expect(connections[0]?.closed).toBe(true);
  });
});
