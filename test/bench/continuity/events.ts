import { setTimeout as sleep } from "node:timers/promises";
import { handOver } from "./hand-over.js";
import type { Scene } from "./scene.js";

/** Something that happens to a stack that serves. */
export interface Event {
  readonly name: string;
  readonly what: string;
  /**
   * Something dies without a word. Requests that were inside it at that moment nobody can save; they are counted apart.
   */
  readonly severs?: true;
  /** Makes it happen, and waits until all of it has. */
  readonly happen: (scene: Scene) => Promise<void>;
  /** Puts right what stays broken, while nobody asks anything. */
  readonly restore?: (scene: Scene) => Promise<void>;
}

/** For what follows a fault: a verdict, replacements, and the tables that they are in. */
const AFTERMATH_MS = 4_000;
/** An agent that comes back finds its ingress, its leader and what has changed. */
const AGENT_AWAY_MS = 3_000;
const DOCKER_AWAY_MS = 2_000;

const SMALL = 2;

/** In this order: what costs a host most comes last. */
export const EVENTS: readonly Event[] = [
  {
    name: "task_killed",
    what: "a replica's process is killed",
    severs: true,
    happen: async (scene) => {
      const { host, api, id } = await scene.someReplica();
      const { State } = await api.get<{ State: { Pid: number } }>(`/containers/${id}/json`);
      // A kill returns before the process has ended: what came in between was inside what died.
      await host.exec([
        "sh",
        "-c",
        `kill -9 ${State.Pid}; while kill -0 ${State.Pid} 2>/dev/null; do :; done`,
      ]);
      scene.severed();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "docker_kill",
    what: "somebody kills a replica's container",
    severs: true,
    happen: async (scene) => {
      const { api, id } = await scene.someReplica();
      await api.call("POST", `/containers/${id}/kill`);
      scene.severed();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "rolling_update",
    what: "all replicas are replaced",
    happen: async (scene) => {
      await scene.berth("service", "update", "--force", scene.service);
      await scene.settle(0);
    },
  },
  {
    name: "scale",
    what: "the service is scaled down and up again",
    happen: async (scene) => {
      await scene.berth("service", "scale", `${scene.service}=${SMALL}`);
      await scene.berth("service", "scale", `${scene.service}=${scene.replicas}`);
      await scene.settle(0);
    },
  },
  {
    name: "drain",
    what: "a node is drained",
    happen: async (scene) => {
      await scene.berth("node", "drain", scene.victim.name);
      await scene.settle(0);
    },
    restore: async (scene) => {
      await scene.berth("node", "activate", scene.victim.name);
    },
  },
  {
    name: "agent_killed",
    what: "the agent of a host that is asked is killed, and started again",
    happen: async (scene) => {
      await scene.asked.killProcess("agent");
      await sleep(AGENT_AWAY_MS);
      await scene.asked.startAgent();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "agent_upgraded",
    what: "agent and ingress of a host that is asked are replaced by another release's",
    happen: async (scene) => {
      await scene.asked.killProcess("agent", "SIGTERM");
      await scene.untilEnded("agent");
      await handOver(scene.asked, "bench");
      await sleep(AGENT_AWAY_MS);
      await scene.asked.startAgent();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "dockerd_restarted",
    what: "Docker of a host that is asked is stopped, with its containers, and started again",
    severs: true,
    happen: async (scene) => {
      await stopDocker(scene);
      scene.severed();
      await sleep(DOCKER_AWAY_MS);
      await scene.asked.startDockerd();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "server_gone",
    what: "the control plane is gone for a while",
    happen: async (scene) => {
      for (const server of scene.servers) await server.kill("server");
      await sleep(scene.serverGoneMs);
      for (const server of scene.servers) await server.startWithoutWaiting();
      await Promise.all(scene.servers.map((server) => server.waitUntilHealthy()));
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "nft_flush",
    what: "somebody flushes the packet filter of a host that is asked",
    happen: async (scene) => {
      await scene.asked.exec(["nft", "flush", "ruleset"]);
      await scene.settle(AFTERMATH_MS);
    },
    // Docker makes its own rules when it starts, and without them it starts nothing that has a port.
    restore: async (scene) => {
      await stopDocker(scene);
      await scene.asked.startDockerd();
    },
  },
  {
    name: "cable",
    what: "a host's cable is pulled, and plugged in again",
    severs: true,
    happen: async (scene) => {
      await scene.victim.partition();
      scene.severed();
      await scene.settle(AFTERMATH_MS);
      await scene.victim.heal();
      await scene.settle(AFTERMATH_MS);
    },
  },
  {
    name: "power_cut",
    what: "a host loses power",
    severs: true,
    happen: async (scene) => {
      await scene.victim.partition(); // a power cut begins with it, too: apart, the moment is known
      scene.severed();
      await scene.victim.kill();
      await scene.settle(AFTERMATH_MS);
    },
    restore: async (scene) => {
      await scene.victim.start();
    },
  },
];

async function stopDocker(scene: Scene): Promise<void> {
  await scene.asked.killProcess("dockerd", "SIGTERM");
  await scene.untilEnded("dockerd");
}

/** Those named in `list`, all when there is none. @throws Error that names those there are */
export function eventsIn(list: string | undefined): readonly Event[] {
  if (list === undefined) return EVENTS;
  return list.split(",").map((name) => {
    const found = EVENTS.find((event) => event.name === name.trim());
    if (found !== undefined) return found;
    throw new Error(`there is no event "${name}": ${EVENTS.map((event) => event.name).join(", ")}`);
  });
}
