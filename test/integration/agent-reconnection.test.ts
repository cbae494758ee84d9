import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { ControlServiceService, NodeDescription } from "@berth/proto";
import { createRpcClient, grpcTransport, type RpcIdentity, type RpcTransport } from "@berth/proto/rpc";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LeaderLink } from "../../packages/agent/src/leader/leader-link.js";
import { SendQueue } from "../../packages/agent/src/leader/send-queue.js";
import { Ticker } from "../../packages/agent/src/runtime/ticker.js";
import { eventually } from "../harness/eventually.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
const NODE = "a";

/** The connections that this process has opened, by the port of the server. */
const connections = new Map<number, Socket[]>();
let stopping: AbortController;

function recordConnection(message: unknown): void {
  const { socket } = message as { readonly socket: Socket };
  socket.once("connect", () => {
    const port = socket.remotePort ?? 0;
    connections.set(port, [...(connections.get(port) ?? []), socket]);
  });
}

beforeEach(() => {
  stopping = new AbortController();
  connections.clear();
  subscribe("net.client.socket", recordConnection);
});

afterEach(() => {
  unsubscribe("net.client.socket", recordConnection);
  stopping.abort(new Error("the test has ended"));
});

/** Returns the number of TLS connections to a server. A probe of its host sends nothing. */
function handshakesWith(address: string): number {
  const all = connections.get(Number(address.split(":")[1])) ?? [];
  return all.filter(({ bytesWritten }) => bytesWritten > 0).length;
}

interface TestAgent {
  /** Servers to which the agent has sent a session call, in order. */
  readonly calledServers: readonly string[];
  readonly welcomes: number;
  /** The servers that the leader has named last. */
  readonly reportedServers: readonly string[];
}

/** Starts the part of an agent that keeps a session with the leader. */
function startAgent(servers: readonly string[], identity: RpcIdentity): TestAgent {
  const agent = { calledServers: [] as string[], welcomes: 0, reportedServers: [] as readonly string[] };
  const link = new LeaderLink({
    servers,
    nodeId: NODE,
    reportedServers: () => agent.reportedServers,
    generation: () => 0,
    transfersImages: false,
    transport: recordSessions(grpcTransport(identity), agent.calledServers),
    renewals: undefined,
    probe: async () => true,
    ticker: new Ticker({ signal: stopping.signal }),
    queue: new SendQueue(NodeDescription.create({ hostname: NODE, address: "127.0.0.1" })),
    fence: { heartbeatNumber: () => 0 },
    appliedSequence: () => 0,
    handler: {
      handle: (message, session) => {
        if (message.$case === "servers") agent.reportedServers = message.value.addresses;
        if (message.$case !== "welcome") return;
        agent.reportedServers = message.value.servers;
        agent.welcomes += 1;
        session.join(message.value);
      },
      onSessionEnd: () => {},
      onConnectionEnd: () => {},
    },
    log: pino({ level: "silent" }),
  });
  void link.run(stopping.signal);
  return agent;
}

function recordSessions(transport: RpcTransport, calledServers: string[]): RpcTransport {
  return {
    ...transport,
    connect: (definition, options) => {
      const connection = transport.connect(definition, options);
      const record = (name: string, call: (...args: never[]) => unknown) => [
        name,
        (...args: never[]) => {
          if (name === "session") calledServers.push(options.address);
          return call(...args);
        },
      ];
      const calls = Object.entries(connection.calls).map(([name, call]) => record(name, call as never));
      return { ...connection, calls: Object.fromEntries(calls) };
    },
  };
}

it("an agent asks a follower over one connection until there is a leader, and joins the next leader over it", async () => {
  const first = await context.cluster.startProcess();
  const admin = createRpcClient(ControlServiceService, { socket: first.socket });
  await eventually("the first server leads", async () => {
    const { leaderAddress } = await admin.calls.getCluster({});
    return leaderAddress === first.address;
  });
  admin.close();
  const second = await context.cluster.startServer();
  const agent = startAgent([first.address, second.address], await context.cluster.admit(NODE));
  await eventually("the agent has a session with the first server", () => agent.welcomes === 1);
  expect(handshakesWith(second.address)).toBe(0);

  // Without etcd, the second server cannot be elected.
  await context.etcd.kill();
  await first.kill();
  const callsOfSecond = (): number =>
    agent.calledServers.filter((address) => address === second.address).length;
  await eventually("the agent has called the second server three times", () => callsOfSecond() >= 3, 30_000);
  expect(agent.welcomes).toBe(1);
  expect(handshakesWith(second.address)).toBe(1);

  await context.etcd.restart();
  await eventually("the agent has a session with the second server", () => agent.welcomes === 2, 30_000);
  expect(handshakesWith(second.address)).toBe(1);
}, 90_000);

it("an agent that joined before the second server finds it when the first one is lost", async () => {
  const first = await context.cluster.startProcess();
  const agent = startAgent([first.address], await context.cluster.admit(NODE));
  await eventually("the agent has a session with the first server", () => agent.welcomes === 1);
  expect(agent.reportedServers).toEqual([first.address]);
  const second = await context.cluster.startServer();
  await eventually("the agent knows the second server", () => agent.reportedServers.includes(second.address));
  await first.kill();
  await eventually("the agent has a session with the second server", () => agent.welcomes === 2, 30_000);
}, 60_000);
