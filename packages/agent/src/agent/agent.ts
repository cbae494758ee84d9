import type { DnsConfig } from "@berth/proto";
import type { Logger } from "pino";
import type { AgentConfig } from "../config.js";
import { DnsSync } from "../dataplane-client/dns-sync.js";
import { dnsConfigOf } from "../dataplane-client/dns-table.js";
import { IngressSync } from "../dataplane-client/ingress-sync.js";
import { containerAddress } from "../dataplane-client/ingress-table.js";
import { watchIngress } from "../dataplane-client/ingress-watch.js";
import { Fence } from "../leader/fence.js";
import { LeaderLink } from "../leader/leader-link.js";
import { LeaderMessageHandler } from "../leader/leader-message-handler.js";
import { StatusOutbox } from "../leader/status-outbox.js";
import { Overlay } from "../networks/overlay.js";
import { describeNode } from "../node/describe-node.js";
import { HostWatch } from "../node/host/host-watch.js";
import { ownPorts } from "../node/host/own-ports.js";
import { ProcessWatch } from "../node/host/process-watch.js";
import { HostCondition } from "../node/host-condition.js";
import { PeerWatch } from "../node/peers/peer-watch.js";
import { Probing } from "../node/probe/probing.js";
import { UsageMeter } from "../node/usage/usage-meter.js";
import { Ticker } from "../runtime/ticker.js";
import { ExecRelay } from "../streams/exec-relay.js";
import { LogRelay } from "../streams/log-relay.js";
import { StatsRelay } from "../streams/stats-relay.js";
import { TaskManager } from "../tasks/task-manager.js";
import { nodeId } from "./node-id.js";
import type { AgentPlatform } from "./platform.js";
import { readState, StateFile } from "./state-file.js";

export interface AgentOptions {
  readonly config: Pick<AgentConfig, "servers" | "advertiseAddress">;
  readonly platform: AgentPlatform;
  readonly log: Logger;
}

/** Runs the agent until the signal fires. Containers and the ingress process outlive it. */
export async function runAgent(
  { config, platform: edges, log }: AgentOptions,
  signal: AbortSignal,
): Promise<void> {
  const { engine, disk } = edges;
  const id = await nodeId(disk);
  const identity = {
    hostname: edges.hostname,
    address: config.advertiseAddress,
    pids: await edges.host.pidLimit(),
    generic: edges.host.generic,
  };
  const state = await readState(disk, log);
  log.info({ node: id, ...identity, servers: config.servers }, "agent starts");

  const pulse = new Ticker({ signal });
  const outbox = new StatusOutbox();
  const condition = new HostCondition((now) => link.describe(describeNode(identity, now)));
  const fence = new Fence({ onChange: () => worker.contactChanged(), log: log.child({ part: "fence" }) });
  const askersMayHaveChanged = (): void => {
    if (overlay.networks.length > 0 || nameSync.hasClients) nameSync.changed();
  };
  const worker: TaskManager = new TaskManager({
    engine,
    knock: edges.knock,
    shareFile: (text) => disk.writeShared(text),
    node: { nodeId: id, hostname: identity.hostname, advertiseAddress: identity.address },
    log: log.child({ part: "worker" }),
    isCutOff: () => fence.isFenced,
    onReport: (report) => {
      outbox.put(report);
      hostWatch.volumesMayHaveChanged();
      overlay.taskReported(report);
      askersMayHaveChanged();
      ingress.localTasksChanged();
      link.statusesChanged();
      file.changed();
    },
    networks: () => overlay.view,
    onForgotten: (taskId) => {
      outbox.forget(taskId);
      overlay.taskForgotten(taskId);
      askersMayHaveChanged();
      file.changed();
    },
    onEngineUp: (info) => {
      condition.engineIsUp(info);
      overlay.engineIsUp(info);
      hostWatch.engineIsUp();
    },
    onEngineAway: (reason) => {
      condition.engineIsAway(reason, new Date());
      overlay.engineIsAway();
    },
  });
  const overlay: Overlay = new Overlay({
    edge: edges.overlay,
    engine,
    address: identity.address,
    log: log.child({ part: "networks" }),
    onChange: () => {
      worker.networksChanged();
      nameSync.changed();
    },
    onAbility: (ability) => condition.dataPlaneIs(ability),
    onProblems: (problems) => condition.networkProblems(problems),
  });
  for (const [taskId, status] of state.statuses) worker.restore(taskId, status);

  const opened = await edges.openIngress(log.child({ part: "ingress" }), signal);
  const stopMetrics = await edges.serveMetrics?.((statsSignal) => opened.stats(statsSignal));
  const ingress = new IngressSync({
    apply: (table, applySignal) => opened.apply(table, applySignal),
    local: {
      nodeId: id,
      addressOf: (endpoint, protocol) =>
        containerAddress(endpoint, protocol, worker.tasks.containerOf(endpoint.taskId)),
      hasEnded: ({ taskId }) => worker.tasks.hasEnded(taskId),
    },
    log: log.child({ part: "ingress" }),
    signal,
  });
  // A process that serves since before this agent started has what is newest: it keeps that until the leader speaks.
  if (state.ingress.length > 0 && !opened.isServing) ingress.update(0, state.ingress);

  const namesNow = (): DnsConfig => {
    return dnsConfigOf({
      networks: overlay.established,
      entries: obedience.names,
      tasks: worker.tasks.inNetworks(),
    });
  };
  const nameSync: DnsSync = new DnsSync({
    apply: (names, applySignal) => opened.updateDns(names, applySignal),
    collect: () => namesNow(),
    isPaused: opened.isServing,
    log: log.child({ part: "names" }),
    signal,
  });
  opened.setFallback(() => ({ table: ingress.tableOf(state.ingress), dns: namesNow() }));

  const peers = new PeerWatch({
    probe: edges.peerProbe,
    pulse,
    onChange: (silent) => {
      // The client remembers it, and tells the process that comes after one that did not answer.
      opened.suspect([...silent], signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, "the ingress process was not told of silent hosts");
      });
    },
    log: log.child({ part: "peers" }),
    signal,
  });

  const logs = new LogRelay({
    engine,
    log: log.child({ part: "logs" }),
    containerOf: (taskId) => worker.tasks.containerOf(taskId),
  });
  const execs = new ExecRelay({
    engine,
    log: log.child({ part: "exec" }),
    containerOf: (taskId) => worker.tasks.containerOf(taskId),
  });
  const meter = new UsageMeter({
    tasksOf: (serviceIds) => obedience.tasksOf(serviceIds),
    containerOf: (taskId) => worker.tasks.containerOf(taskId),
    read: edges.readUsage,
    stats: (statsSignal) => opened.stats(statsSignal),
    onReport: (report) => link.used(report),
    log: log.child({ part: "usage" }),
  });
  const loads = new StatsRelay({
    taskIds: () => worker.tasks.statuses().keys(),
    containerOf: (taskId) => worker.tasks.containerOf(taskId),
    readTask: edges.readUsage,
    readHost: edges.readHostUsage,
    log: log.child({ part: "load" }),
  });
  const obedience: LeaderMessageHandler = new LeaderMessageHandler({
    worker,
    nodeId: id,
    ingress,
    overlay,
    nameSync,
    peers,
    logs,
    execs,
    loads,
    stats: () => opened.stats(signal),
    probing: new Probing(edges.probe, signal),
    fence,
    meter,
    log: log.child({ part: "session" }),
    epoch: state.epoch,
    servers: state.servers,
    table: state.ingress,
    networks: state.networks,
    names: state.names,
    persist: () => file.flush(),
    persistSoon: () => file.changed(),
  });
  const file = new StateFile({
    disk,
    log,
    collect: () => ({
      epoch: obedience.epoch,
      servers: obedience.servers,
      ingress: obedience.table,
      networks: obedience.networks,
      names: obedience.names,
      statuses: worker.tasks.statuses(),
    }),
  });
  const link: LeaderLink = new LeaderLink({
    servers: [...new Set([...config.servers, ...state.servers])],
    nodeId: id,
    description: describeNode(identity, condition.now),
    transport: edges.transport,
    probe: edges.probe,
    pulse,
    outbox,
    handler: obedience,
    log: log.child({ part: "session" }),
  });

  const hostWatch = new HostWatch({
    host: edges.host,
    engine,
    ownPorts: () => ownPorts(obedience.table, worker.tasks.statuses().values()),
    onListeners: (listeners) => condition.foreignListeners(listeners),
    onVolumes: (volumes) => condition.volumes(volumes),
    onVolumesUnknown: () => condition.volumesUnknown(),
  });
  if (edges.processes !== undefined) {
    new ProcessWatch({
      processes: edges.processes,
      pulse,
      running: () => worker.tasks.running(),
      onEnded: (container) => worker.processEnded(container),
    });
  }
  const watching = watchIngress({
    status: (watchSignal) => opened.status(watchSignal),
    onProblems: (problems) => condition.ingressProblems(problems),
    onPath: ({ kernel, reason }) => condition.dataPlaneIs({ kernel, kernelReason: reason }),
    signal,
  });
  await overlay.examine(signal);
  overlay.named(state.names);
  if (state.networks.length > 0) overlay.restore(state.networks);
  await Promise.all([
    worker.run(signal),
    link.run(signal),
    overlay.run(signal),
    hostWatch.run(signal),
    watching,
  ]);
  fence.close();
  meter.stop();
  logs.stopAll();
  loads.stopAll();
  stopMetrics?.();
  opened.close();
  await file.flush();
  edges.release();
  log.info("agent stopped; containers and published ports stay as they are");
}
