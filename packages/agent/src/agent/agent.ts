import type { ReportedTask } from "@berth/proto";
import type { Logger } from "pino";
import type { AgentConfig } from "../config.js";
import { DataPlaneClient } from "../dataplane-client/data-plane-client.js";
import type { EngineInfo } from "../engine/engine.js";
import { AssignmentReceiver } from "../leader/assignment-receiver.js";
import { Fence } from "../leader/fence.js";
import { LeaderLink } from "../leader/leader-link.js";
import { LeaderMessageHandler } from "../leader/leader-message-handler.js";
import { SendQueue } from "../leader/send-queue.js";
import { OverlayNetworks } from "../networks/overlay-networks.js";
import { berthPorts } from "../node/host/foreign-listeners.js";
import { HostWatch } from "../node/host/host-watch.js";
import { ProcessWatch } from "../node/host/process-watch.js";
import { type ConditionSnapshot, describeNode, HostCondition } from "../node/node-description.js";
import { ProbeResponder } from "../node/probe/probe-responder.js";
import { UsageMeter } from "../node/usage/usage-meter.js";
import { Notifier } from "../runtime/notifier.js";
import { Ticker } from "../runtime/ticker.js";
import { ExecRelay } from "../streams/exec-relay.js";
import { LogRelay } from "../streams/log-relay.js";
import { StatsRelay } from "../streams/stats-relay.js";
import { TrafficReporter } from "../streams/traffic-report.js";
import { TaskManager } from "../tasks/task-manager.js";
import { nodeId } from "./node-id.js";
import type { AgentPlatform } from "./platform.js";
import { type AgentState, readState, StateFile } from "./state-file.js";
import { supervise } from "./supervise.js";

export interface AgentOptions {
  readonly config: Pick<AgentConfig, "servers" | "advertiseAddress">;
  readonly platform: AgentPlatform;
  readonly log: Logger;
}

/**
 * Runs the agent until the signal fires, or until one of its parts fails, which rejects. Containers and the ingress
 * process continue to run.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { platform, log } = options;
  const lifetime = new AbortController();
  const onSignal = (): void => lifetime.abort(signal.reason);
  signal.addEventListener("abort", onSignal, { once: true });
  if (signal.aborted) onSignal();
  try {
    await runParts(options, lifetime);
    log.info("agent stopped; containers and published ports stay as they are");
  } finally {
    signal.removeEventListener("abort", onSignal);
    lifetime.abort();
    platform.release();
  }
}

/** Constructs the parts in the order in which they depend on each other, connects their events, and runs them. */
async function runParts({ config, platform, log }: AgentOptions, lifetime: AbortController): Promise<void> {
  const { engine, disk } = platform;
  const { signal } = lifetime;
  const logOf = (part: string): Logger => log.child({ part });

  // Identity and state.
  const id = await nodeId(disk);
  const identity = {
    hostname: platform.hostname,
    address: config.advertiseAddress,
    pids: await platform.host.pidLimit(),
    generic: platform.host.generic,
  };
  const state = await readState(disk, log);
  log.info({ node: id, ...identity, servers: config.servers }, "agent started");

  // Events from a part to parts that are constructed after it.
  const taskReported = new Notifier<ReportedTask>();
  const taskForgotten = new Notifier<string>();
  const engineUp = new Notifier<EngineInfo>();
  const engineAway = new Notifier<string>();
  const networksChanged = new Notifier<void>();
  const fenceChanged = new Notifier<void>();
  const conditionChanged = new Notifier<ConditionSnapshot>();

  // What all parts share.
  const ticker = new Ticker({ signal });
  const condition = new HostCondition(conditionChanged.notify);
  condition.updateDataPlane(state.dataPlane);
  const queue = new SendQueue(describeNode(identity, condition.snapshot));
  const fence = new Fence({ onChange: fenceChanged.notify, log: logOf("fence") });
  const overlay = new OverlayNetworks({
    networking: platform.networking,
    engine,
    address: identity.address,
    log: logOf("networks"),
    onChange: networksChanged.notify,
    onCapabilities: (ability) => condition.updateDataPlane(ability),
    onProblems: (problems) => condition.setNetworkProblems(problems),
  });

  // Part 1: the task manager, with the watches of this host.
  const taskManager = new TaskManager({
    engine,
    checkPort: platform.checkPort,
    shareFile: (text) => disk.writeShared(text),
    onPortPublishing: (problem) => condition.setPublishingProblem(problem),
    node: { nodeId: id, hostname: identity.hostname, advertiseAddress: identity.address },
    log: logOf("tasks"),
    isFenced: () => fence.isFenced,
    networks: () => overlay.view,
    onReport: taskReported.notify,
    onForgotten: taskForgotten.notify,
    onEngineUp: engineUp.notify,
    onEngineAway: engineAway.notify,
  });
  const { tasks } = taskManager;
  const containerOf = tasks.containerOf.bind(tasks);
  for (const [taskId, status] of state.statuses) taskManager.restore(taskId, status);
  if (platform.processes !== undefined) {
    new ProcessWatch({
      processes: platform.processes,
      ticker: ticker,
      running: () => tasks.runningContainers(),
      onExited: (container) => taskManager.onProcessEnded(container),
    });
  }

  // Part 2: the data-plane client.
  const dataPlane = new DataPlaneClient({
    nodeId: id,
    openIngress: platform.openIngress,
    serveMetrics: platform.serveMetrics,
    peerProbe: platform.peerProbe,
    ticker,
    overlay,
    tasks,
    condition,
    saved: { table: state.ingress, networks: state.networks, names: state.dnsEntries },
    log,
    signal,
  });
  const hostWatch = new HostWatch({
    host: platform.host,
    engine,
    ownPorts: () => berthPorts(dataPlane.tables.table, tasks.statuses().values()),
    onListeners: (listeners) => condition.setForeignListeners(listeners),
    onVolumes: (volumes) => condition.setVolumes(volumes),
    onVolumesUnknown: () => condition.setVolumesUnknown(),
  });

  // Part 3: the leader session.
  const stateFile = new StateFile({ disk, log });
  const assignments = new AssignmentReceiver({
    tasks: taskManager,
    dataPlane,
    fence,
    knownLeader: { epoch: state.epoch, servers: state.servers },
    flushState: () => stateFile.flush(),
    scheduleStateWrite: () => stateFile.scheduleWrite(),
    log: logOf("session"),
  });
  const logs = new LogRelay({ engine, containerOf, log: logOf("logs") });
  const execs = new ExecRelay({ engine, containerOf, log: logOf("exec") });
  const stats = new StatsRelay({
    taskIds: () => tasks.statuses().keys(),
    containerOf,
    readTask: platform.readUsage,
    readHost: platform.readHostUsage,
    log: logOf("stats"),
  });
  const usage = new UsageMeter({
    tasksOf: (serviceIds) => assignments.tasksOf(serviceIds),
    containerOf,
    read: platform.readUsage,
    stats: (inner) => dataPlane.stats(inner),
    onReport: (report) => queue.reportUsage(report),
    log: logOf("usage"),
  });
  const link = new LeaderLink({
    servers: [...new Set([...config.servers, ...state.servers])],
    nodeId: id,
    transport: platform.transport,
    probe: platform.probe,
    ticker,
    queue,
    fence,
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
    }),
    log: logOf("session"),
  });

  // Events to parts that are constructed later than their source.
  stateFile.setSource((): AgentState => {
    const { table, networks, names } = dataPlane.tables;
    return {
      ...assignments.knownLeader,
      ingress: table,
      networks,
      dnsEntries: names,
      dataPlane: condition.snapshot.dataPlane,
      statuses: tasks.statuses(),
    };
  });
  taskReported.subscribe((report) => {
    queue.reportStatus(report);
    hostWatch.volumesMayHaveChanged();
    overlay.taskReported(report);
    dataPlane.onTaskReported();
    stateFile.scheduleWrite();
  });
  taskForgotten.subscribe((taskId) => {
    queue.forgetTask(taskId);
    overlay.taskForgotten(taskId);
    dataPlane.onTaskForgotten();
    stateFile.scheduleWrite();
  });
  engineUp.subscribe((info) => {
    condition.engineConnected(info);
    overlay.engineConnected(info);
    hostWatch.engineConnected();
  });
  engineAway.subscribe((reason) => {
    condition.engineDisconnected(reason, new Date());
    overlay.engineDisconnected();
  });
  networksChanged.subscribe(() => {
    taskManager.onNetworksChanged();
    dataPlane.onNetworksChanged();
  });
  fenceChanged.subscribe(() => taskManager.onFenceChanged());
  conditionChanged.subscribe((now) => {
    queue.setDescription(describeNode(identity, now));
    stateFile.scheduleWrite();
  });

  try {
    await supervise(
      [
        { name: "task manager", run: (inner) => taskManager.run(inner) },
        { name: "host watch", run: (inner) => hostWatch.run(inner) },
        { name: "data-plane client", run: (inner) => dataPlane.run(inner) },
        { name: "leader session", run: (inner) => link.run(inner) },
      ],
      lifetime,
    );
  } finally {
    fence.close();
    usage.stop();
    logs.stopAll();
    execs.stopAll();
    stats.stopAll();
    dataPlane.close();
    await stateFile.flush();
  }
}
