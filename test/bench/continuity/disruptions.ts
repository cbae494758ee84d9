import { setTimeout as sleep } from "node:timers/promises";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { currentRelease, previousRelease } from "../../upgrade/build-release.js";
import { upgradeAll } from "../../upgrade/rolling-upgrade.js";
import { replaceIngress } from "./replace-ingress.js";
import { type ServingStack, STACK_KINDS, type StackKind } from "./serving-stack.js";

/** A disruption of a stack that serves requests. */
export interface Disruption {
  readonly name: string;
  readonly what: string;
  /**
   * Whether a process or host is killed abruptly. Requests in flight on it cannot be saved and are counted separately.
   */
  readonly severs?: true;
  /** The stacks that the disruption is caused for. Only the replicated one if undefined. */
  readonly stacks?: readonly StackKind[];
  /** Goal for the longest wait of a client if the stack has a single replica, in seconds. */
  readonly singleGoalS?: number;
  /** Whether the stack's secret gets a new version. The figures then show when tasks served which version. */
  readonly updatesSecret?: true;
  /** Prepares the disruption before the load starts. May block the event loop. */
  readonly prepare?: () => void;
  /** Causes the disruption and waits until its effects are over. */
  readonly run: (stack: ServingStack) => Promise<void>;
  /** Repairs lasting effects after the load has stopped. */
  readonly restore?: (stack: ServingStack) => Promise<void>;
}

/** Time in which a fault takes effect: detection, replacements and new tables. */
const AFTERMATH_MS = 4_000;
/** How long an agent stays down. */
const AGENT_DOWN_MS = 3_000;
const DOCKER_DOWN_MS = 2_000;

const SCALED_DOWN_REPLICAS = 2;

/** A host counts as dead after 1.1 s to 1.3 s; the rest is for its successor. */
const LOST_HOST_GOAL_S = 2.5;
/** A task that ends in order is replaced at once. */
const UPDATE_GOAL_S = 1.5;

/**
 * The disruptions of a smoke run: a killed process, a request to the ingress process's control protocol, and an update
 * of the only replica.
 */
export const SMOKE_DISRUPTIONS = "task_killed,stop_first_update,agent_upgraded";

/** All disruptions in the order in which they run. Those with the largest effect on a host come last. */
export const DISRUPTIONS: readonly Disruption[] = [
  {
    name: "task_killed",
    what: "a replica's process is killed",
    severs: true,
    run: async (stack) => {
      const { host, api, id } = await stack.findReplica();
      const { State } = await api.get<{ State: { Pid: number } }>(`/containers/${id}/json`);
      // A kill returns before the process has exited. Requests that arrive in between are in flight on it.
      await host.exec([
        "sh",
        "-c",
        `kill -9 ${State.Pid}; while kill -0 ${State.Pid} 2>/dev/null; do :; done`,
      ]);
      stack.markSevered();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "docker_kill",
    what: "a replica's container is killed over the Docker API",
    severs: true,
    stacks: STACK_KINDS,
    singleGoalS: UPDATE_GOAL_S,
    run: async (stack) => {
      const { api, id } = await stack.findReplica();
      await api.call("POST", `/containers/${id}/kill`);
      stack.markSevered();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "rolling_update",
    what: "all replicas are replaced",
    run: async (stack) => {
      await stack.berth("service", "update", "--force", stack.service);
      await stack.settle(0);
    },
  },
  {
    name: "stop_first_update",
    what: "the only replica is stopped before its successor starts",
    stacks: ["single"],
    singleGoalS: UPDATE_GOAL_S,
    run: async (stack) => {
      await stack.berth("service", "update", "--force", stack.service);
      await stack.settle(0);
    },
  },
  {
    name: "secret_updated",
    what: "a secret that all replicas read gets a new version",
    updatesSecret: true,
    run: async (stack) => {
      await stack.updateSecret();
      await stack.settle(0);
    },
  },
  {
    name: "scale",
    what: "the service is scaled down and up again",
    run: async (stack) => {
      await stack.berth("service", "scale", `${stack.service}=${SCALED_DOWN_REPLICAS}`);
      await stack.berth("service", "scale", `${stack.service}=${stack.replicas}`);
      await stack.settle(0);
    },
  },
  {
    name: "drain",
    what: "a node is drained",
    stacks: STACK_KINDS,
    singleGoalS: UPDATE_GOAL_S,
    run: async (stack) => {
      await stack.berth("node", "drain", stack.workerHost.name);
      await stack.settle(0);
    },
    restore: async (stack) => {
      await stack.berth("node", "activate", stack.workerHost.name);
    },
  },
  {
    name: "agent_killed",
    what: "the agent of an entry host is killed and started again",
    run: async (stack) => {
      await stack.entryHost.killProcess("agent");
      await sleep(AGENT_DOWN_MS);
      await stack.entryHost.startAgent();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "agent_upgraded",
    what: "the agent and the ingress process of an entry host are replaced with another release",
    run: async (stack) => {
      await stack.entryHost.killProcess("agent", "SIGTERM");
      await stack.waitUntilEnded(stack.entryHost, "agent");
      await replaceIngress(stack.entryHost, "bench");
      await sleep(AGENT_DOWN_MS);
      await stack.entryHost.startAgent();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "rolling_upgrade",
    what: "all servers and agents are downgraded to the previous release and upgraded again, one after another",
    prepare: () => void previousRelease(),
    run: async (stack) => {
      const agents = stack.lab.hosts.map(({ name: host }) => ({ program: "agent", host }) as const);
      const servers = stack.servers.map(({ name: host }) => ({ program: "server", host }) as const);
      await upgradeAll(stack.lab, [...agents.slice(1), ...servers, ...agents.slice(0, 1)], previousRelease());
      await stack.settle(AFTERMATH_MS);
      await upgradeAll(stack.lab, [...servers, ...agents], currentRelease());
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "dockerd_restarted",
    what: "a host's Docker is stopped with its containers and started again",
    severs: true,
    stacks: STACK_KINDS,
    singleGoalS: LOST_HOST_GOAL_S,
    run: async (stack) => {
      await stopDocker(stack, stack.replicaHost);
      stack.markSevered();
      await sleep(DOCKER_DOWN_MS);
      await stack.replicaHost.startDockerd();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "server_gone",
    what: "the control plane is down for a while",
    run: async (stack) => {
      for (const server of stack.servers) await server.kill("server");
      await sleep(stack.serverGoneMs);
      for (const server of stack.servers) await server.startWithoutWaiting();
      await Promise.all(stack.servers.map((server) => server.waitUntilHealthy()));
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "ca_rotated",
    what: "the CA, the certificates of all programs and the join tokens are replaced during an update",
    run: async (stack) => {
      await stack.berth("service", "update", "--force", "--detach", stack.service);
      await stack.berth("token", "rotate", "--role", "node");
      await stack.berth("ca", "rotate");
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "nft_flush",
    what: "an entry host's nftables ruleset is flushed",
    run: async (stack) => {
      await stack.entryHost.exec(["nft", "flush", "ruleset"]);
      await stack.settle(AFTERMATH_MS);
    },
    // Docker creates its rules when it starts. Without them it cannot publish ports.
    restore: async (stack) => {
      await stopDocker(stack, stack.entryHost);
      await stack.entryHost.startDockerd();
    },
  },
  {
    name: "cable",
    what: "a host's cable is pulled and plugged in again",
    severs: true,
    stacks: STACK_KINDS,
    singleGoalS: LOST_HOST_GOAL_S,
    run: async (stack) => {
      await stack.workerHost.partition();
      stack.markSevered();
      await stack.settle(AFTERMATH_MS);
      await stack.workerHost.heal();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "power_cut",
    what: "a host loses power",
    severs: true,
    stacks: STACK_KINDS,
    singleGoalS: LOST_HOST_GOAL_S,
    run: async (stack) => {
      await stack.workerHost.partition(); // separate from the power cut, so that the time is known
      stack.markSevered();
      await stack.workerHost.kill();
      await stack.settle(AFTERMATH_MS);
    },
    restore: async (stack) => {
      await stack.workerHost.start();
    },
  },
];

async function stopDocker(stack: ServingStack, host: LabHost): Promise<void> {
  await host.killProcess("dockerd", "SIGTERM");
  await stack.waitUntilEnded(host, "dockerd");
}
