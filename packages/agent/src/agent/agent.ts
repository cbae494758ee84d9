import { isIPv6 } from "node:net";
import type { Logger } from "pino";
import { type AgentConfig, IMAGE_PORT } from "../config.js";
import { DataPlaneClient } from "../dataplane-client/data-plane-client.js";
import { DiskShippedFiles } from "../files/disk-shipped-files.js";
import { CertificateRenewal } from "../identity/certificate-renewal.js";
import { NodeImages } from "../images/node-images.js";
import { listBerthPorts } from "../node/host/foreign-listeners.js";
import { HostWatch } from "../node/host/host-watch.js";
import { ProcessWatch } from "../node/host/process-watch.js";
import { describeNode } from "../node/node-description.js";
import { TaskManager } from "../tasks/task-manager.js";
import type { KnownTasks } from "../tasks/task-records.js";
import { type AgentContext, createAgentContext } from "./agent-context.js";
import { createLeaderSession, type LeaderSession } from "./leader-session.js";
import type { AgentPlatform } from "./platform.js";
import { type AgentState, StateFile } from "./state-file.js";
import { type Part, supervise } from "./supervise.js";

export interface AgentOptions {
  readonly config: Pick<AgentConfig, "servers"> & { readonly advertiseAddress: string };
  readonly platform: AgentPlatform;
  readonly log: Logger;
}

/**
 * Runs the agent until the signal is aborted. Rejects when one of its parts fails. Containers and the ingress process
 * keep running.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { platform, log } = options;
  const lifetime = new AbortController();
  const onSignal = (): void => lifetime.abort(signal.reason);
  signal.addEventListener("abort", onSignal, { once: true });
  if (signal.aborted) onSignal();
  try {
    await runParts(options, lifetime);
    log.info("agent stopped; containers and published ports keep working");
  } finally {
    signal.removeEventListener("abort", onSignal);
    lifetime.abort();
    platform.release();
  }
}

/** Constructs the parts in the order in which they depend on each other, connects their events, and runs them. */
async function runParts({ config, platform, log }: AgentOptions, lifetime: AbortController): Promise<void> {
  const { servers, advertiseAddress } = config;
  const context = await createAgentContext({ platform, advertiseAddress, log, signal: lifetime.signal });
  const { nodeId, identity, fence } = context;
  log.info({ node: nodeId, ...identity, servers }, "agent started");
  const stateFile = new StateFile({
    stateDirectory: platform.stateDirectory,
    log,
    onProblem: (problem) => context.condition.setDiskProblem(problem),
  });
  const images = createNodeImages(context, advertiseAddress);
  const taskManager = createTaskManager(context, images);
  const dataPlane = createDataPlane(context, taskManager.tasks);
  const hostWatch = createHostWatch(context, { dataPlane, tasks: taskManager.tasks });
  const leaderSession = createLeaderSession(context, { servers, taskManager, dataPlane, stateFile, images });
  const renewal = createCertificateRenewal(context, leaderSession);
  connectEvents(context, { taskManager, dataPlane, hostWatch, leaderSession, stateFile });
  try {
    await supervise(
      [
        { name: "task manager", run: (inner) => taskManager.run(inner) },
        { name: "host watch", run: (inner) => hostWatch.run(inner) },
        { name: "data-plane client", run: (inner) => dataPlane.run(inner) },
        { name: "leader session", run: (inner) => runLeaderSession(leaderSession, renewal, inner) },
        ...renewalParts(renewal),
        ...(images === undefined ? [] : [{ name: "images", run: (inner: AbortSignal) => images.run(inner) }]),
      ],
      lifetime,
    );
  } finally {
    fence.close();
    leaderSession.stopStreams();
    dataPlane.close();
    await stateFile.flush();
  }
}

/** Creates the certificate renewal, or returns undefined if the host has no certificate. */
function createCertificateRenewal(
  { platform, logOf }: AgentContext,
  { servers }: LeaderSession,
): CertificateRenewal | undefined {
  const { identity, transport } = platform;
  return identity && new CertificateRenewal({ identity, transport, servers, log: logOf("certificate") });
}

function renewalParts(renewal: CertificateRenewal | undefined): readonly Part[] {
  return renewal === undefined ? [] : [{ name: "certificate renewal", run: (inner) => renewal.run(inner) }];
}

/** Runs the leader session. Waits for a valid certificate first, because the leader would reject an expired one. */
async function runLeaderSession(
  leaderSession: LeaderSession,
  renewal: CertificateRenewal | undefined,
  signal: AbortSignal,
): Promise<void> {
  await renewal?.waitUntilUnexpired(signal);
  await leaderSession.run(signal);
}

/** Constructs the task manager with the tasks of the previous run, and the watch of the containers' processes. */
function createTaskManager(context: AgentContext, images: NodeImages | undefined): TaskManager {
  const { platform, nodeId, identity, savedState, events, ticker, condition } = context;
  const { fence, overlay, policy, queue, logOf } = context;
  const { engine, stateDirectory, host } = platform;
  const taskManager = new TaskManager({
    engine,
    checkPort: platform.checkPort,
    shareFile: (text) => stateDirectory.writeShared(text),
    onPortPublishing: (problem) => condition.setPublishingProblem(problem),
    taskFiles: platform.taskFiles,
    managedImages: images,
    shippedFiles: createShippedFiles(context, images),
    onSwapProblem: (problem) => condition.setSwapProblem(problem),
    node: { nodeId, hostname: identity.hostname, advertiseAddress: identity.address },
    resourceNames: host.resourceNames,
    log: logOf("tasks"),
    isFenced: () => fence.isFenced,
    networks: () => overlay.view,
    policy: () => policy.view,
    onReport: events.taskReported.notify,
    onForgotten: events.taskForgotten.notify,
    onUnknownTasks: (tasks) => queue.reportUnknownTasks(tasks),
    onEngineConnected: events.engineConnected.notify,
    onEngineDisconnected: events.engineDisconnected.notify,
  });
  for (const [taskId, status] of savedState.statuses) taskManager.restore(taskId, status);
  if (platform.processes !== undefined) {
    new ProcessWatch({
      processes: platform.processes,
      ticker,
      runningContainers: () => taskManager.tasks.runningContainers(),
      onExited: (container) => taskManager.onProcessEnded(container),
    });
  }
  return taskManager;
}

/** Creates the image transfer service, or returns undefined on a host without images, as in the simulation. */
function createNodeImages(
  { platform, condition, logOf, signal }: AgentContext,
  advertiseAddress: string,
): NodeImages | undefined {
  const { images, transport } = platform;
  if (images === undefined) return undefined;
  const host = isIPv6(advertiseAddress) ? `[${advertiseAddress}]` : advertiseAddress;
  return new NodeImages({
    engine: images.engine,
    store: images.store,
    shipped: images.shipped,
    transport,
    listen: images.listen || `${host}:${IMAGE_PORT}`,
    platform: () => condition.platform,
    log: logOf("images"),
    onListening: (port) => condition.setImagePort(port),
    signal,
  });
}

/** Creates the store of shipped mount copies, or returns undefined on a host without images. */
function createShippedFiles(
  { platform }: AgentContext,
  archives: NodeImages | undefined,
): DiskShippedFiles | undefined {
  const { images } = platform;
  if (images === undefined || archives === undefined) return undefined;
  return new DiskShippedFiles(images.copiesDirectory, archives);
}

/** Creates the data-plane client with the tables of the previous run. */
function createDataPlane(context: AgentContext, tasks: KnownTasks): DataPlaneClient {
  const { platform, nodeId, identity, savedState, ticker, queue, condition, overlay, log, signal } = context;
  const { ingress, networks, dnsEntries } = savedState;
  return new DataPlaneClient({
    nodeId,
    address: identity.address,
    openIngress: platform.openIngress,
    serveMetrics: platform.serveMetrics,
    peerProbe: platform.peerProbe,
    ticker,
    overlay,
    tasks,
    condition,
    saved: { ingress, networks, dnsEntries },
    onWaitingClients: (report) => queue.reportWaitingClients(report),
    log,
    signal,
  });
}

interface HostWatchSources {
  readonly dataPlane: DataPlaneClient;
  readonly tasks: KnownTasks;
}

/** Constructs the watch of this host's volumes and of ports that other programs use. */
function createHostWatch(
  { platform, condition }: AgentContext,
  { dataPlane, tasks }: HostWatchSources,
): HostWatch {
  const { engine } = platform;
  return new HostWatch({
    host: platform.host,
    engine,
    berthPorts: () => listBerthPorts(dataPlane.tables.ingress, tasks.statuses().values()),
    onListeners: (listeners) => condition.setForeignListeners(listeners),
    onVolumes: (volumes) => condition.setVolumes(volumes),
    onVolumesUnknown: () => condition.setVolumesUnknown(),
  });
}

interface AgentParts {
  readonly taskManager: TaskManager;
  readonly dataPlane: DataPlaneClient;
  readonly hostWatch: HostWatch;
  readonly leaderSession: LeaderSession;
  readonly stateFile: StateFile;
}

/** Passes the events of each part to the parts that depend on them. */
function connectEvents(context: AgentContext, parts: AgentParts): void {
  const { identity, events, condition, queue, overlay, policy } = context;
  const { taskManager, dataPlane, hostWatch, leaderSession, stateFile } = parts;
  stateFile.setSource((): AgentState => {
    return {
      ...leaderSession.assignments.knownLeader,
      ...dataPlane.tables,
      policy: policy.policy,
      dataPlane: condition.snapshot.dataPlane,
      statuses: taskManager.tasks.statuses(),
    };
  });
  events.taskReported.subscribe((report) => {
    queue.reportStatus(report);
    hostWatch.volumesMayHaveChanged();
    overlay.taskReported(report);
    dataPlane.onTaskReported();
    stateFile.scheduleWrite();
  });
  events.taskForgotten.subscribe((taskId) => {
    queue.forgetTask(taskId);
    overlay.taskForgotten(taskId);
    dataPlane.onTaskForgotten();
    stateFile.scheduleWrite();
  });
  events.engineConnected.subscribe((info) => {
    condition.engineConnected(info);
    overlay.engineConnected(info);
    hostWatch.engineConnected();
  });
  events.engineDisconnected.subscribe((reason) => {
    condition.engineDisconnected(reason, new Date());
    overlay.engineDisconnected();
  });
  events.networksChanged.subscribe(() => {
    taskManager.onNetworksChanged();
    dataPlane.onNetworksChanged();
  });
  events.fenceChanged.subscribe(() => taskManager.onFenceChanged());
  events.conditionChanged.subscribe((now) => {
    queue.setDescription(describeNode(identity, now));
    stateFile.scheduleWrite();
  });
}
