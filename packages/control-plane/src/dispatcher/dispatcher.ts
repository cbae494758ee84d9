import {
  assertNever,
  BerthError,
  type Hello,
  type Node,
  NodeDescription,
  NodeState,
  type SessionRequest,
  type SessionResponse,
} from "@berth/proto";
import type { CallContext } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { dnsEntryKey, networkIdOfDnsEntry } from "../core/allocator/dns-entries.js";
import type { NodeHealthMonitor } from "../node-health/node-health-monitor.js";
import type { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Delta } from "../state/delta.js";
import { assignedNetwork } from "./assignments/assigned-network.js";
import { DrainGate } from "./drain-gate.js";
import { registrationOf } from "./register-node.js";
import { protocolError, readHello } from "./registration.js";
import type { TrafficCollector } from "./relays/traffic-collector.js";
import { type AgentCommand, Session } from "./session.js";
import type { StatusWriter } from "./status-writer.js";
import type { TrafficTables } from "./traffic-tables.js";

export interface DispatcherOptions {
  readonly epoch: bigint;
  /** Addresses of all servers, now. */
  readonly servers: () => readonly string[];
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly tables: TrafficTables;
  /** Whether hosts are told where each container of a network is. */
  readonly hasStaticFdb: (networkId: string) => boolean;
  readonly statusWriter: StatusWriter;
  readonly liveness: Pick<
    NodeHealthMonitor,
    "recordHeartbeat" | "recordProbeResult" | "heartbeatMs" | "isSuspect"
  >;
  readonly trafficCollector: Pick<TrafficCollector, "receive">;
  readonly autoscaler: Pick<Autoscaler, "report" | "watch">;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts with the term; its reason is what agents are told. */
  readonly signal: AbortSignal;
}

/** The sessions of all agents: tells each what its node is to run, and takes in what they report. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #drains: DrainGate;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { state, writer, tables: traffic, liveness, runtime, signal } = options;
    this.#drains = new DrainGate({
      state,
      tables: traffic,
      clock: runtime.clock,
      isSuspect: (nodeId) => liveness.isSuspect(nodeId),
      inForceOn: (nodeId) => this.#sessions.get(nodeId)?.appliedTableVersion ?? 0,
      onWanted: (version) => {
        for (const session of this.#sessions.values()) session.requestTableAck(version);
      },
      onOpen: ({ id, nodeId }) => this.#sessions.get(nodeId)?.taskChanged(id),
      signal,
    });
    const unsubscribe = state.onChange((delta) => this.#onChange(delta));
    traffic.onChange(({ ingress, dns: names }) => {
      for (const session of this.#sessions.values()) for (const key of ingress) session.ingressChanged(key);
      for (const key of names) {
        for (const session of this.#sessionsIn(networkIdOfDnsEntry(key))) session.dnsEntryChanged(key);
      }
    });
    traffic.onUpdated(() => this.#drains.tablesUpdated());
    const forget = writer.onBacklogCleared(() => {
      for (const session of this.#sessions.values()) session.backlogWritten();
    });
    onAbort(signal, () => {
      unsubscribe();
      forget();
      for (const session of this.#sessions.values()) session.end(reasonOf(signal));
    });
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** The live session of a node's agent. */
  sessionOf(nodeId: string): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  /** Sends something to the agents of all nodes. */
  broadcast(order: AgentCommand): void {
    for (const session of this.#sessions.values()) session.send(order);
  }

  /** Serves one agent's stream until either side ends it. */
  async *serve(
    requests: AsyncIterable<SessionRequest>,
    context: Pick<CallContext, "signal" | "peer">,
  ): AsyncGenerator<SessionResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const hello = await readHello(incoming, this.#options.runtime.clock, context.signal);
    await this.#register(hello.nodeId, hello.description, context.signal);
    const session = this.#open(hello, context.peer);
    const forget = onAbort(context.signal, () => session.end());
    void this.#read(incoming, session);
    try {
      yield* session.messages();
    } finally {
      forget();
      session.end();
      if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
    }
  }

  async #register(
    nodeId: string,
    description: NodeDescription | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { writer, runtime, logger, liveness } = this.#options;
    const agent = { nodeId, description: description ?? NodeDescription.fromPartial({}) };
    const wasReady = await writer.submit((state) => {
      const changes = registrationOf(agent, state, runtime.now());
      return { changes, result: state.nodes.get(nodeId)?.state === NodeState.READY };
    }, signal);
    liveness.recordHeartbeat(nodeId, 0);
    if (!wasReady) logger.info({ nodeId, hostname: agent.description.hostname }, "node is ready");
  }

  #open(hello: Hello, peer: string): Session {
    const { nodeId, bootId } = hello;
    const {
      state,
      writer,
      tables: traffic,
      epoch,
      liveness,
      servers,
      runtime,
      hasStaticFdb: isListed,
      signal,
    } = this.#options;
    const session = new Session({
      nodeId,
      bootId,
      peer,
      clock: runtime.clock,
      hasBacklog: () => writer.hasBacklog,
      welcome: { epoch: Number(epoch), heartbeatMs: liveness.heartbeatMs, servers: [...servers()] },
      source: {
        tasks: () => state.tasks.ofNode(nodeId).values(),
        task: (taskId) => state.tasks.get(taskId),
        spec: (serviceId, version) => state.services.specOf(serviceId, version),
        ingress: () => traffic.ingress.values(),
        ingressEntry: (key) => traffic.ingress.get(key),
        isHeld: (taskId) => this.#drains.holds(taskId),
        networkIdOf: (name) => state.networks.idOf(name),
        network: (networkId) => assignedNetwork(state, networkId, nodeId, isListed),
        dnsKeys: (networkId) => nameKeysIn(networkId, state),
        dnsEntry: (key) => traffic.dns.get(key),
      },
      tableVersion: () => traffic.version,
    });
    const { wanted } = this.#drains;
    if (wanted !== undefined) session.requestTableAck(wanted);
    const { watch } = this.#options.autoscaler;
    if (watch !== undefined) session.send({ $case: "measureUsage", value: watch });
    this.#replace(session);
    if (signal.aborted) session.end(reasonOf(signal));
    return session;
  }

  /** Of two agents with one node id the newer is the node; a reconnect of the same process is no quarrel. */
  #replace(session: Session): void {
    const older = this.#sessions.get(session.nodeId);
    this.#sessions.set(session.nodeId, session);
    if (older === undefined) return;
    if (older.bootId === session.bootId) {
      older.end();
      return;
    }
    const { nodeId, peer } = session;
    this.#options.logger.warn({ nodeId, peer, older: older.peer }, "a newer agent has taken over a node");
    older.end(
      new BerthError({
        code: "BERTH_CONFLICT",
        message: `Another agent, at ${peer}, has registered as node ${nodeId}. Two hosts must not share a data folder: give one of them its own.`,
        details: { nodeId, peer },
      }),
    );
  }

  async #read(incoming: AsyncIterator<SessionRequest>, session: Session): Promise<void> {
    try {
      for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
        if (session.isEnded) return;
        this.#handle(next.value, session);
      }
      session.end();
    } catch {
      session.end(); // The stream broke: the agent comes back by itself.
    }
  }

  #handle({ message }: SessionRequest, session: Session): void {
    const {
      liveness,
      statusWriter: intake,
      autoscaler,
      trafficCollector: counters,
      logger,
      signal,
    } = this.#options;
    const { nodeId } = session;
    if (message?.$case !== "heartbeat") liveness.recordHeartbeat(nodeId, 0);
    switch (message?.$case) {
      case "heartbeat":
        liveness.recordHeartbeat(nodeId, message.value.lagMs);
        if (message.value.number > 0) session.ackHeartbeat(message.value.number);
        return;
      case "probeResult":
        liveness.recordProbeResult(nodeId, message.value);
        return;
      case "statuses": {
        const { value } = message;
        intake.add(nodeId, value, () => session.ackStatuses(value.batch));
        return;
      }
      case "description":
        this.#register(nodeId, message.value, signal).catch((error: unknown) => {
          if (!signal.aborted)
            logger.warn({ err: error, nodeId }, "a node's description could not be written");
        });
        return;
      case "traffic":
        counters.receive(nodeId, message.value);
        return;
      case "hello":
        session.end(protocolError("a session has only one hello"));
        return;
      case "usage":
        autoscaler.report(nodeId, message.value);
        return;
      case "tablesApplied":
        if (session.tablesApplied(message.value.sequence)) this.#drains.reviewSoon();
        return;
      case undefined:
        return; // Of a newer agent: what it means is not needed to go on.
      default:
        assertNever(message);
    }
  }

  #onChange(delta: Delta): void {
    this.#drains.onChange(delta);
    for (const [taskId, { before, after }] of delta.tasks) {
      const nodeId = after?.nodeId || before?.nodeId;
      if (nodeId) this.#sessions.get(nodeId)?.taskChanged(taskId);
    }
    for (const [nodeId, { before, after }] of delta.nodes) {
      if (after === undefined) this.#sessions.get(nodeId)?.end(removedNode(nodeId));
      else if (isAnotherPeer(before, after)) this.#peerChanged(nodeId);
    }
    for (const networkId of delta.networks) {
      for (const session of this.#sessions.values()) session.networkChanged(networkId);
    }
    for (const networkId of delta.ranges) this.#networkChanged(networkId);
  }

  #peerChanged(nodeId: string): void {
    const { ranges } = this.#options.state.networks;
    for (const networkId of ranges.ofSecond(nodeId).keys()) this.#networkChanged(networkId);
  }

  #networkChanged(networkId: string): void {
    for (const session of this.#sessionsIn(networkId)) session.networkChanged(networkId);
  }

  /** Sessions of the nodes that have a part of a network. */
  *#sessionsIn(networkId: string): IterableIterator<Session> {
    for (const nodeId of this.#options.state.networks.ranges.ofFirst(networkId).keys()) {
      const session = this.#sessions.get(nodeId);
      if (session !== undefined) yield session;
    }
  }
}

function nameKeysIn(networkId: string, state: ClusterState): readonly string[] {
  const name = state.networks.get(networkId)?.spec?.name;
  if (name === undefined) return [];
  return [...state.services.ofNetwork(name).keys()].map((serviceId) => dnsEntryKey(networkId, serviceId));
}

/** Whether other hosts reach a node in another way than before, or it has become able to be in networks. */
function isAnotherPeer(before: Node | undefined, after: Node): boolean {
  const [old, now] = [before?.description, after.description];
  return (
    old?.address !== now?.address ||
    old?.dataPlane?.overlay !== now?.dataPlane?.overlay ||
    old?.dataPlane?.wireguardPublicKey !== now?.dataPlane?.wireguardPublicKey
  );
}

function reasonOf(signal: AbortSignal): BerthError {
  const { reason } = signal;
  return reason instanceof BerthError
    ? reason
    : new BerthError({ code: "BERTH_NOT_LEADER", message: "This server does not lead any more." });
}

function removedNode(nodeId: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `Node ${nodeId} was removed from the cluster. Its agent may register again.`,
  });
}
