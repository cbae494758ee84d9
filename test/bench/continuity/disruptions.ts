import { setTimeout as sleep } from "node:timers/promises";
import { replaceIngress } from "./replace-ingress.js";
import type { ServingStack } from "./serving-stack.js";

/** Something that happens to a stack that serves. */
export interface Disruption {
  readonly name: string;
  readonly what: string;
  /**
   * Something dies without a word. Requests that were inside it at that moment nobody can save; they are counted apart.
   */
  readonly severs?: true;
  /** Makes it happen, and waits until all of it has. */
  readonly happen: (stack: ServingStack) => Promise<void>;
  /** Puts right what stays broken, while nobody asks anything. */
  readonly restore?: (stack: ServingStack) => Promise<void>;
}

/** For what follows a fault: a verdict, replacements, and the tables that they are in. */
const AFTERMATH_MS = 4_000;
/** An agent that comes back finds its ingress, its leader and what has changed. */
const AGENT_AWAY_MS = 3_000;
const DOCKER_AWAY_MS = 2_000;

const SMALL = 2;

/** A disruption that kills something, and the one that uses the control protocol of the ingress process. */
export const SMOKE_DISRUPTIONS = "task_killed,agent_upgraded";

/** In this order: what costs a host most comes last. */
export const DISRUPTIONS: readonly Disruption[] = [
  {
    name: "task_killed",
    what: "a replica's process is killed",
    severs: true,
    happen: async (stack) => {
      const { host, api, id } = await stack.someReplica();
      const { State } = await api.get<{ State: { Pid: number } }>(`/containers/${id}/json`);
      // A kill returns before the process has ended: what came in between was inside what died.
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
    what: "somebody kills a replica's container",
    severs: true,
    happen: async (stack) => {
      const { api, id } = await stack.someReplica();
      await api.call("POST", `/containers/${id}/kill`);
      stack.markSevered();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "rolling_update",
    what: "all replicas are replaced",
    happen: async (stack) => {
      await stack.berth("service", "update", "--force", stack.service);
      await stack.settle(0);
    },
  },
  {
    name: "scale",
    what: "the service is scaled down and up again",
    happen: async (stack) => {
      await stack.berth("service", "scale", `${stack.service}=${SMALL}`);
      await stack.berth("service", "scale", `${stack.service}=${stack.replicas}`);
      await stack.settle(0);
    },
  },
  {
    name: "drain",
    what: "a node is drained",
    happen: async (stack) => {
      await stack.berth("node", "drain", stack.workerHost.name);
      await stack.settle(0);
    },
    restore: async (stack) => {
      await stack.berth("node", "activate", stack.workerHost.name);
    },
  },
  {
    name: "agent_killed",
    what: "the agent of a host that is asked is killed, and started again",
    happen: async (stack) => {
      await stack.entryHost.killProcess("agent");
      await sleep(AGENT_AWAY_MS);
      await stack.entryHost.startAgent();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "agent_upgraded",
    what: "agent and ingress of a host that is asked are replaced by another release's",
    happen: async (stack) => {
      await stack.entryHost.killProcess("agent", "SIGTERM");
      await stack.waitUntilEnded("agent");
      await replaceIngress(stack.entryHost, "bench");
      await sleep(AGENT_AWAY_MS);
      await stack.entryHost.startAgent();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "dockerd_restarted",
    what: "Docker of a host that is asked is stopped, with its containers, and started again",
    severs: true,
    happen: async (stack) => {
      await stopDocker(stack);
      stack.markSevered();
      await sleep(DOCKER_AWAY_MS);
      await stack.entryHost.startDockerd();
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "server_gone",
    what: "the control plane is gone for a while",
    happen: async (stack) => {
      for (const server of stack.servers) await server.kill("server");
      await sleep(stack.serverGoneMs);
      for (const server of stack.servers) await server.startWithoutWaiting();
      await Promise.all(stack.servers.map((server) => server.waitUntilHealthy()));
      await stack.settle(AFTERMATH_MS);
    },
  },
  {
    name: "nft_flush",
    what: "somebody flushes the packet filter of a host that is asked",
    happen: async (stack) => {
      await stack.entryHost.exec(["nft", "flush", "ruleset"]);
      await stack.settle(AFTERMATH_MS);
    },
    // Docker makes its own rules when it starts, and without them it starts nothing that has a port.
    restore: async (stack) => {
      await stopDocker(stack);
      await stack.entryHost.startDockerd();
    },
  },
  {
    name: "cable",
    what: "a host's cable is pulled, and plugged in again",
    severs: true,
    happen: async (stack) => {
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
    happen: async (stack) => {
      await stack.workerHost.partition(); // a power cut begins with it, too: apart, the moment is known
      stack.markSevered();
      await stack.workerHost.kill();
      await stack.settle(AFTERMATH_MS);
    },
    restore: async (stack) => {
      await stack.workerHost.start();
    },
  },
];

async function stopDocker(stack: ServingStack): Promise<void> {
  await stack.entryHost.killProcess("dockerd", "SIGTERM");
  await stack.waitUntilEnded("dockerd");
}

/** Those named in `list`, all when there is none. @throws Error that names those there are */
export function parseDisruptions(list: string | undefined): readonly Disruption[] {
  if (list === undefined) return DISRUPTIONS;
  return list.split(",").map((name) => {
    const found = DISRUPTIONS.find((event) => event.name === name.trim());
    if (found !== undefined) return found;
    throw new Error(`there is no event "${name}": ${DISRUPTIONS.map((event) => event.name).join(", ")}`);
  });
}
