import type { DataPlaneClient } from "../dataplane-client/data-plane-client.js";
import { renewIfUntrusted } from "../identity/certificate-renewal.js";
import type { NodeImages } from "../images/node-images.js";
import { AssignmentReceiver } from "../leader/assignment-receiver.js";
import { initialServers } from "../leader/initial-servers.js";
import { LeaderLink } from "../leader/leader-link.js";
import { LeaderMessageHandler } from "../leader/leader-message-handler.js";
import { ProbeResponder } from "../node/probe/probe-responder.js";
import { UsageMeter } from "../node/usage/usage-meter.js";
import { ExecRelay } from "../streams/exec-relay.js";
import { LogRelay } from "../streams/log-relay.js";
import { LoginChecker } from "../streams/login-checker.js";
import { StatsRelay } from "../streams/stats-relay.js";
import { TrafficReporter } from "../streams/traffic-report.js";
import { VolumeResponder } from "../streams/volume-responder.js";
import { ImageDigestResponder } from "../tasks/image-digest-responder.js";
import type { TaskManager } from "../tasks/task-manager.js";
import type { AgentContext } from "./agent-context.js";
import type { StateFile } from "./state-file.js";

export interface LeaderSessionParts {
  /** Addresses of servers from the command line; may be empty. */
  readonly servers: readonly string[];
  readonly taskManager: TaskManager;
  readonly dataPlane: DataPlaneClient;
  readonly stateFile: StateFile;
  /** Undefined if nodes do not transfer images, as in the simulation. */
  readonly images: NodeImages | undefined;
}

/** The agent's session with the leader, and the work that the leader requests through it. */
export interface LeaderSession {
  readonly assignments: AssignmentReceiver;
  /** Returns the addresses of all known servers. */
  readonly servers: () => readonly string[];
  /** Keeps a session open until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** Closes the streams to the leader. */
  stopStreams(): void;
}

/** Constructs the leader session and the handlers of the leader's messages. */
export function createLeaderSession(
  { platform, nodeId, savedState, ticker, queue, fence, policy, logOf, signal }: AgentContext,
  { servers, taskManager, dataPlane, stateFile, images }: LeaderSessionParts,
): LeaderSession {
  const { engine, identity } = platform;
  const firstServers = initialServers({ configured: servers, saved: savedState.servers });
  const { tasks } = taskManager;
  const containerOf = tasks.containerOf.bind(tasks);
  const assignments = new AssignmentReceiver({
    tasks: taskManager,
    dataPlane,
    fence,
    policy,
    knownLeader: {
      epoch: savedState.epoch,
      generation: savedState.generation,
      servers: savedState.servers,
    },
    flushState: () => stateFile.flush(),
    scheduleStateWrite: () => stateFile.scheduleWrite(),
    log: logOf("session"),
  });
  const logs = new LogRelay({ engine, containerOf, log: logOf("logs") });
  const streamTasks = {
    containerOf,
    statusOf: tasks.statusOf.bind(tasks),
    onAttached: taskManager.onAttached.bind(taskManager),
  };
  const execs = new ExecRelay({ engine, tasks: streamTasks, log: logOf("exec") });
  const stats = new StatsRelay({
    taskIds: () => tasks.statuses().keys(),
    containerOf,
    readTask: platform.readUsage,
    readHost: platform.readHostUsage,
    log: logOf("stats"),
  });
  const usage = new UsageMeter({
    taskIdsOf: (serviceIds) => assignments.taskIdsOf(serviceIds),
    containerOf,
    read: platform.readUsage,
    stats: (inner) => dataPlane.stats(inner),
    onReport: (report) => queue.reportUsage(report),
    log: logOf("usage"),
  });
  const link = new LeaderLink({
    servers: firstServers,
    reportedServers: () => assignments.knownLeader.servers,
    nodeId,
    generation: () => assignments.knownLeader.generation,
    transport: platform.transport,
    renewals: platform.identity?.rpc,
    probe: platform.probe,
    ticker,
    queue,
    fence,
    transfersImages: images !== undefined,
    appliedSequence: () => dataPlane.appliedSequence,
    handler: new LeaderMessageHandler({
      assignments,
      queue,
      fence,
      logs,
      execs,
      stats,
      usage,
      probing: new ProbeResponder(platform.probe, signal),
      traffic: new TrafficReporter(() => dataPlane.stats(signal)),
      logins: new LoginChecker(engine, signal),
      imageDigests: new ImageDigestResponder(engine, signal),
      volumes: new VolumeResponder(engine, signal),
      images,
      onAuthorities: (message) => {
        const at = { nowMs: Date.now(), random: Math.random() };
        if (identity !== undefined) renewIfUntrusted(identity, message, at);
      },
    }),
    log: logOf("session"),
  });
  return {
    assignments,
    servers: () => [...new Set([...firstServers, ...assignments.knownLeader.servers])],
    run: (inner) => link.run(inner),
    stopStreams: () => {
      usage.stop();
      logs.stopAll();
      execs.stopAll();
      stats.stopAll();
    },
  };
}
