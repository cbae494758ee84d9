import type { ReportedTask } from "@berth/proto";
import type { Logger } from "pino";
import type { EngineInfo } from "../engine/engine.js";
import { Fence } from "../leader/fence.js";
import { SendQueue } from "../leader/send-queue.js";
import { OverlayNetworks } from "../networks/overlay-networks.js";
import {
  type ConditionSnapshot,
  describeNode,
  HostCondition,
  type NodeIdentity,
} from "../node/node-description.js";
import { Notifier } from "../runtime/notifier.js";
import { Ticker } from "../runtime/ticker.js";
import { HostPolicy } from "./host-policy.js";
import type { AgentPlatform } from "./platform.js";
import { type AgentState, loadState } from "./state-file.js";

/** Events that a part of the agent sends to parts constructed after it. */
export interface AgentEvents {
  readonly taskReported: Notifier<ReportedTask>;
  readonly taskForgotten: Notifier<string>;
  readonly engineConnected: Notifier<EngineInfo>;
  readonly engineDisconnected: Notifier<string>;
  readonly networksChanged: Notifier<void>;
  readonly fenceChanged: Notifier<void>;
  readonly conditionChanged: Notifier<ConditionSnapshot>;
}

/** The objects that all parts of the agent share. */
export interface AgentContext {
  readonly platform: AgentPlatform;
  readonly nodeId: string;
  readonly identity: NodeIdentity;
  /** The state that the previous run of the agent saved. */
  readonly savedState: AgentState;
  readonly events: AgentEvents;
  readonly ticker: Ticker;
  readonly condition: HostCondition;
  readonly queue: SendQueue;
  readonly fence: Fence;
  readonly overlay: OverlayNetworks;
  readonly policy: HostPolicy;
  readonly log: Logger;
  /** Returns the logger for one part of the agent. */
  readonly logOf: (part: string) => Logger;
  /** Aborted when the agent stops. */
  readonly signal: AbortSignal;
}

export interface AgentContextOptions {
  readonly platform: AgentPlatform;
  readonly advertiseAddress: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Reads the node's identity and saved state, and constructs the objects that all parts share. */
export async function createAgentContext(options: AgentContextOptions): Promise<AgentContext> {
  const { platform, advertiseAddress, log, signal } = options;
  const { engine, stateDirectory, host } = platform;
  const logOf = (part: string): Logger => log.child({ part });
  const identity: NodeIdentity = {
    hostname: platform.hostname,
    address: advertiseAddress,
    pids: await host.pidLimit(),
    generic: host.generic,
  };
  const savedState = await loadState(stateDirectory, log);
  const events = createEvents();
  const condition = new HostCondition(events.conditionChanged.notify);
  condition.updateDataPlane(savedState.dataPlane);
  const overlay = new OverlayNetworks({
    networking: platform.networking,
    engine,
    address: advertiseAddress,
    log: logOf("networks"),
    onChange: events.networksChanged.notify,
    onCapabilities: (capabilities) => condition.updateDataPlane(capabilities),
    onProblems: (problems) => condition.setNetworkProblems(problems),
  });
  return {
    platform,
    nodeId: platform.nodeId,
    identity,
    savedState,
    events,
    ticker: new Ticker({ signal }),
    condition,
    queue: new SendQueue(describeNode(identity, condition.snapshot)),
    fence: new Fence({ onChange: events.fenceChanged.notify, log: logOf("fence") }),
    overlay,
    policy: new HostPolicy({ saved: savedState.policy, files: platform.files, log: logOf("policy") }),
    log,
    logOf,
    signal,
  };
}

function createEvents(): AgentEvents {
  return {
    taskReported: new Notifier(),
    taskForgotten: new Notifier(),
    engineConnected: new Notifier(),
    engineDisconnected: new Notifier(),
    networksChanged: new Notifier(),
    fenceChanged: new Notifier(),
    conditionChanged: new Notifier(),
  };
}
