import {
  type Authorities,
  assertNever,
  BERTH_VERSION,
  BerthError,
  type FileVersion,
  type Hello,
  isBerthError,
  NodeDescription,
  PROTOCOL_FIELDS,
  type RegistryCredentials,
  type RegistryLogin,
  type RegistryLoginChecked,
  type SessionRequest,
  type SessionResponse,
  type VolumeReply,
} from "@berth/proto";
import { type CallContext, requireNode } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { FileSealer } from "../core/files/apply-file.js";
import { credentialsOf, type LoginSealer } from "../core/registries/registry-logins.js";
import type { NodeHealthMonitor } from "../node-health/node-health-monitor.js";
import type { Autoscaler } from "../reconciler/autoscale/autoscaler.js";
import type { WaitingClientsMonitor } from "../reconciler/autoscale/waiting-clients-monitor.js";
import type { Writer } from "../reconciler/writer.js";
import { onAbort } from "../runtime/abort.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ClusterState } from "../state/cluster-state.js";
import { createAssignmentSource } from "./assignments/assignment-source.js";
import { notifySessionsOfChanges } from "./change-notifications.js";
import { DrainGate } from "./drain-gate.js";
import { requireWithinLimits } from "./message-limits.js";
import { NodeRegistrar } from "./node-registrar.js";
import { protocolError, type RegisteringAgent, readHello } from "./registration.js";
import type { AgentReplies } from "./relays/agent-replies.js";
import type { ImageInventories } from "./relays/image-inventories.js";
import type { ImageResolver } from "./relays/image-resolver.js";
import type { TrafficCollector } from "./relays/traffic-collector.js";
import type { RestoreMonitor } from "./restore-monitor.js";
import { Session } from "./session.js";
import type { SessionRegistry } from "./session-registry.js";
import type { StatusWriter } from "./status-writer.js";
import type { TrafficTables } from "./traffic-tables.js";

export interface DispatcherOptions {
  readonly sessions: SessionRegistry;
  readonly epoch: bigint;
  /** Returns the addresses of all servers. */
  readonly servers: () => readonly string[];
  readonly state: ClusterState;
  readonly writer: Writer;
  readonly tables: TrafficTables;
  /** Whether the agents in a network program its forwarding entries instead of flooding it. */
  readonly hasStaticFdb: (networkId: string) => boolean;
  /** Decrypts secrets and configs for their nodes. Undefined if the server has no cluster key. */
  readonly sealer: FileSealer | undefined;
  /** Decrypts registry logins for their nodes. Undefined if the server has no cluster key. */
  readonly loginSealer: LoginSealer | undefined;
  readonly loginChecks: Pick<AgentReplies<RegistryLoginChecked>, "record">;
  readonly volumes: Pick<AgentReplies<VolumeReply>, "record">;
  readonly statusWriter: StatusWriter;
  readonly nodeHealth: Pick<
    NodeHealthMonitor,
    "recordHeartbeat" | "recordProbeResult" | "heartbeatMs" | "isSuspect"
  >;
  readonly trafficCollector: Pick<TrafficCollector, "recordReport">;
  readonly imageResolver: Pick<ImageResolver, "recordReply">;
  readonly imageInventories: Pick<ImageInventories, "recordInventory" | "recordRemoval" | "recordFetch">;
  readonly restoreMonitor: Pick<RestoreMonitor, "record">;
  readonly autoscaler: Pick<Autoscaler, "recordUsage" | "usageRequest">;
  readonly waitingClients: Pick<WaitingClientsMonitor, "record" | "forget">;
  /** Returns the authorities of the cluster, or undefined without TLS, as in simulations. */
  readonly authorities: () => Authorities | undefined;
  /** Whether a node must have joined with a token before its agent connects. False in the simulation. */
  readonly mustJoin: boolean;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Aborts when the term ends. Its reason is sent to the agents. */
  readonly signal: AbortSignal;
}

/**
 * The leader's server for agents: serves the sessions of all agents during one term.
 *
 * In a session, the agent first sends a hello, and the leader registers its node. Then both sides send messages until
 * one of them ends the stream.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #sessions: SessionRegistry;
  readonly #drainGate: DrainGate;
  readonly #registrar: NodeRegistrar;
  #hasLoggedGeneration = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { state, tables, nodeHealth, runtime, signal } = options;
    this.#sessions = options.sessions;
    this.#drainGate = new DrainGate({
      state,
      tables,
      clock: runtime.clock,
      isSuspect: (nodeId) => nodeHealth.isSuspect(nodeId),
      getAppliedVersion: (nodeId) => this.#sessions.get(nodeId)?.appliedTableVersion ?? 0,
      onAckNeeded: (version) =>
        this.#sessions.forEachSession(this.#sessions.all(), (session) => session.requestTableAck(version)),
      onReleased: ({ id, nodeId }) => this.#sessions.get(nodeId)?.markTaskStale(id),
      signal,
    });
    this.#registrar = new NodeRegistrar({
      ...options,
      isSuspect: (nodeId) => nodeHealth.isSuspect(nodeId),
      isConnected: (nodeId) => this.#sessions.get(nodeId) !== undefined,
    });
    const unsubscribe = notifySessionsOfChanges({ ...options, drainGate: this.#drainGate });
    onAbort(signal, () => {
      unsubscribe();
      for (const session of this.#sessions.all()) session.end(termEndedError(signal));
    });
  }

  /** Serves the session of one agent until either side ends the stream. */
  async *serve(
    requests: AsyncIterable<SessionRequest>,
    context: Pick<CallContext, "signal" | "peer" | "caller">,
  ): AsyncGenerator<SessionResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const hello = await readHello(incoming, this.#options.runtime.clock, context.signal);
    const { nodeId, description = NodeDescription.fromPartial({}) } = hello;
    requireNode(context.caller, nodeId);
    this.#requireGeneration(hello);
    const agent = { nodeId, description, peer: context.peer };
    const isStored = await this.#registrar.register(agent, context.signal);
    this.#options.nodeHealth.recordHeartbeat(nodeId, 0);
    const session = this.#openSession(hello, context.peer);
    if (!isStored) this.#updateDescription(session, description);
    const stopWatching = onAbort(context.signal, () => session.end());
    void this.#receiveMessages(incoming, session);
    try {
      yield* session.messages();
    } finally {
      stopWatching();
      session.end();
      this.#sessions.remove(session);
      if (this.#sessions.get(nodeId) === undefined) this.#options.waitingClients.forget(nodeId);
    }
  }

  #openSession({ nodeId, bootId, resolvesImages, transfersImages }: Hello, peer: string): Session {
    const { state, writer, tables, epoch, nodeHealth, servers, runtime, autoscaler, signal } = this.#options;
    const session = new Session({
      nodeId,
      bootId,
      peer,
      resolvesImages,
      transfersImages,
      clock: runtime.clock,
      hasBacklog: () => writer.hasBacklog,
      welcome: {
        epoch: Number(epoch),
        heartbeatMs: nodeHealth.heartbeatMs,
        servers: [...servers()],
        release: BERTH_VERSION,
        ...PROTOCOL_FIELDS,
        generation: generationOf(state),
      },
      source: createAssignmentSource(nodeId, {
        state,
        tables,
        hasStaticFdb: this.#options.hasStaticFdb,
        openFile: (file) => this.#openFile(file),
        openLogin: (login) => this.#openLogin(login),
        isStopHeld: (taskId) => this.#drainGate.isStopHeld(taskId),
      }),
      tableVersion: () => tables.version,
    });
    const { awaitedVersion } = this.#drainGate;
    if (awaitedVersion !== undefined) session.requestTableAck(awaitedVersion);
    if (autoscaler.usageRequest !== undefined) {
      session.send({ $case: "measureUsage", value: autoscaler.usageRequest });
    }
    const authorities = this.#options.authorities();
    if (authorities !== undefined) session.send({ $case: "authorities", value: authorities });
    this.#sessions.add(session);
    if (signal.aborted) session.end(termEndedError(signal));
    return session;
  }

  /** @throws BerthError BERTH_STALE_EPOCH if the cluster was restored from a backup on other servers */
  #requireGeneration({ nodeId, generation }: Hello): void {
    const { state, logger } = this.#options;
    if (generation <= generationOf(state)) return;
    const message =
      "the cluster was restored from a backup on other servers, and its nodes have joined them; stop this server";
    if (!this.#hasLoggedGeneration) logger.error({ nodeId, generation }, message);
    this.#hasLoggedGeneration = true;
    throw new BerthError({ code: "BERTH_STALE_EPOCH", message });
  }

  /** Decrypts a secret or config. Undefined after a failure, which is logged; the tasks wait. */
  #openFile(file: FileVersion): Uint8Array | undefined {
    const { sealer, logger } = this.#options;
    try {
      return sealer?.open(file);
    } catch (error) {
      logger.error({ err: error, fileId: file.id }, "failed to decrypt a secret or config");
      return undefined;
    }
  }

  /** Decrypts the credentials of a login. Undefined after a failure, which is logged. */
  #openLogin(login: RegistryLogin): RegistryCredentials | undefined {
    const { loginSealer, logger } = this.#options;
    try {
      return loginSealer && credentialsOf(login, loginSealer);
    } catch (error) {
      logger.error({ err: error, server: login.server }, "failed to decrypt a registry login");
      return undefined;
    }
  }

  /** Handles the agent's messages until the stream ends. A message that exceeds its limits ends the session. */
  async #receiveMessages(incoming: AsyncIterator<SessionRequest>, session: Session): Promise<void> {
    try {
      for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
        if (session.isEnded) return;
        const request = next.value;
        requireWithinLimits(session.nodeId, request);
        this.#sessions.forEachSession([session], () => this.#handleMessage(request, session));
      }
    } catch (error) {
      // Any other error means that the stream broke. In both cases, the agent reconnects.
      if (isBerthError(error, "BERTH_LIMIT_EXCEEDED")) session.end(error);
    }
    session.end();
  }

  #handleMessage({ message }: SessionRequest, session: Session): void {
    const {
      nodeHealth,
      statusWriter,
      autoscaler,
      trafficCollector,
      loginChecks,
      imageResolver,
      imageInventories,
      volumes,
    } = this.#options;
    const { nodeId } = session;
    if (message?.$case !== "heartbeat") nodeHealth.recordHeartbeat(nodeId, 0);
    switch (message?.$case) {
      case "heartbeat":
        nodeHealth.recordHeartbeat(nodeId, message.value.lagMs);
        if (message.value.number > 0) session.ackHeartbeat(message.value.number);
        return;
      case "probeResult":
        nodeHealth.recordProbeResult(nodeId, message.value);
        return;
      case "statuses":
        statusWriter.enqueue(nodeId, message.value, session);
        return;
      case "description":
        this.#updateDescription(session, message.value);
        return;
      case "traffic":
        trafficCollector.recordReport(nodeId, message.value);
        return;
      case "registryLoginChecked":
        loginChecks.record(nodeId, message.value.requestId, message.value);
        return;
      case "imageDigest":
        imageResolver.recordReply(nodeId, message.value);
        return;
      case "volumeReply":
        volumes.record(nodeId, message.value.requestId, message.value);
        return;
      case "imageInventory":
        imageInventories.recordInventory(nodeId, message.value);
        return;
      case "imagesRemoved":
        imageInventories.recordRemoval(nodeId, message.value);
        return;
      case "imageFetched":
        imageInventories.recordFetch(nodeId, message.value);
        return;
      case "hello":
        session.end(protocolError("the agent sent a second hello in one session"));
        return;
      case "usage":
        autoscaler.recordUsage(nodeId, message.value);
        return;
      case "waitingClients":
        this.#options.waitingClients.record(nodeId, message.value);
        return;
      case "tablesApplied":
        if (session.recordTablesApplied(message.value.sequence)) this.#drainGate.scheduleReview();
        return;
      case "unknownTasks":
        this.#options.restoreMonitor.record(nodeId, message.value.tasks);
        return;
      case undefined:
        return; // The message type is unknown: the agent is newer than this server.
      default:
        assertNever(message);
    }
  }

  /** Ends the session when the description is refused. */
  #updateDescription(session: Session, description: NodeDescription): void {
    const { nodeId, peer } = session;
    const agent: RegisteringAgent = { nodeId, description, peer };
    try {
      this.#registrar.update(agent, (error) => session.end(error));
    } catch (error) {
      if (!isBerthError(error)) throw error;
      session.end(error);
    }
  }
}

/** Returns the generation of a cluster; 0 when it has never been restored from a backup. */
function generationOf({ restore }: ClusterState): number {
  return restore?.generation ?? 0;
}

function termEndedError({ reason }: AbortSignal): BerthError {
  return reason instanceof BerthError ? reason : notLeaderError();
}
