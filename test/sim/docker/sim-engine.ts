import type { ContainerEvent } from "../../../packages/agent/src/core/tasks/container-event.js";
import type {
  Engine,
  EngineCall,
  EngineInfo,
  EventsOptions,
} from "../../../packages/agent/src/engine/engine.js";
import { EngineError } from "../../../packages/agent/src/engine/engine-error.js";
import { MessageQueue } from "../network/message-queue.js";
import type { Actor } from "../simulator/actor.js";
import { behaviorOf } from "./images.js";
import type { SimDocker } from "./sim-docker.js";

/** Timeout of a ping. The timeouts are those of the real Docker client. */
const PING_TIMEOUT_MS = 3_000;
const CALL_TIMEOUT_MS = 30_000;
const PULL_TIMEOUT_MS = 600_000;

export interface SimEngineOptions {
  readonly docker: SimDocker;
  readonly agent: Actor;
  readonly info: Pick<EngineInfo, "cpus" | "memoryBytes">;
  /** Called before the agent changes a container. */
  readonly onOrder: (kind: "create" | "start" | "stop" | "kill" | "remove", containerId: string) => void;
  /** Called before the agent changes a network. */
  readonly onNetwork: (kind: "make" | "remove", network: string) => void;
}

/** Returns the engine through which an agent uses a simulated daemon. */
export function simEngine({ docker, agent, info, onOrder, onNetwork }: SimEngineOptions): Engine {
  const ask = asker(docker, agent);
  return {
    connect: (call) => {
      return ask(call, 5, () => ({
        hostname: docker.host,
        os: "linux",
        architecture: "x86_64",
        ...info,
        version: "20.10.24",
        apiVersion: "1.41",
        labels: {},
        isolation: "",
        containerRoot: { uid: 0, gid: 0 },
      }));
    },
    ping: (call) => ask(call, 1, () => {}, PING_TIMEOUT_MS),
    list: (call) => {
      return ask(call, 5, () => {
        return [...docker.containers.values()]
          .filter(({ taskId }) => taskId !== "")
          .map((each) => each.summary());
      });
    },
    inspect: (container, call) => ask(call, 3, () => docker.inspect(container)),
    create: (config, call) => {
      return ask(call, 40, () => {
        onOrder("create", config.name);
        return docker.create(docker.owner.sign(config));
      });
    },
    start: (id, call) => {
      return ask(call, 120, () => {
        onOrder("start", id);
        docker.start(id);
      });
    },
    stop: (id, call) => {
      const timeoutMs = call.graceMs + CALL_TIMEOUT_MS;
      return ask(
        call,
        2,
        () => {
          onOrder("stop", id);
          return docker.stop(id, call.graceMs);
        },
        timeoutMs,
      );
    },
    kill: (id, call) => {
      return ask(call, 2, () => {
        onOrder("kill", id);
        const container = docker.find(id);
        if (container !== undefined) docker.crash(container, 137);
      });
    },
    remove: (id, call) => {
      return ask(call, 30, () => {
        onOrder("remove", id);
        docker.remove(id);
      });
    },
    networks: (call) => ask(call, 2, () => docker.networks.list()),
    createNetwork: (body, call) => {
      return ask(call, 40, () => {
        onNetwork("make", body.Name);
        return docker.networks.create(body);
      });
    },
    removeNetwork: (id, call) => {
      return ask(call, 40, () => {
        onNetwork("remove", id);
        docker.networks.remove(id);
      });
    },
    connectNetwork: (network, call) => {
      return ask(call, 10, () => docker.connect(network, call.containerId, call.endpoint));
    },
    volumes: (call) => ask(call, 2, () => [...docker.volumes.keys()]),
    imageExists: (image, call) => ask(call, 2, () => docker.images.has(image)),
    checkLogin: async () => {},
    // The images of the simulation are local: their tags never move.
    repoDigests: (_image, call) => ask(call, 2, () => []),
    registryDigest: () => Promise.reject(new EngineError("failed", "registries are not simulated")),
    pull: (image, call) => {
      const { exists, pullMs } = behaviorOf(image);
      const [min, max] = pullMs;
      const workMs = min + docker.rng.next() * (max - min);
      const load = (): void => {
        if (!exists) throw new EngineError("not-found", `manifest for ${image} not found`);
        docker.images.add(image);
      };
      return ask(call, workMs, load, PULL_TIMEOUT_MS);
    },
    events: (options) => events(docker, agent, options),
    logs: () => nothing(),
    exec: () => Promise.reject(new EngineError("failed", "commands are not simulated")),
    execDetached: () => Promise.reject(new EngineError("failed", "commands are not simulated")),
    listVolumes: () => Promise.reject(new EngineError("failed", "volumes are not listed")),
    createVolume: () => Promise.reject(new EngineError("failed", "volumes are not created")),
    removeVolume: () => Promise.reject(new EngineError("failed", "volumes are not removed")),
    pruneVolumes: () => Promise.reject(new EngineError("failed", "volumes are not removed")),
    attach: () => Promise.reject(new EngineError("failed", "streams are not simulated")),
    statFile: () => Promise.reject(new EngineError("failed", "files are not simulated")),
    readArchive: () => Promise.reject(new EngineError("failed", "files are not simulated")),
    writeArchive: () => Promise.reject(new EngineError("failed", "files are not simulated")),
  };
}

type Ask = <T>(
  call: EngineCall,
  workMs: number,
  work: () => T | Promise<T>,
  timeoutMs?: number,
) => Promise<T>;

/**
 * Returns a function that sends requests to the daemon. A request takes effect even if the agent is killed meanwhile.
 */
function asker(docker: SimDocker, agent: Actor): Ask {
  const { scheduler, rng } = docker;
  return (call, workMs, work, timeoutMs = CALL_TIMEOUT_MS) => {
    return new Promise((resolve, reject) => {
      const { signal } = call;
      if (signal.aborted) return reject(signal.reason);
      const { daemon } = docker;
      const roll = rng.next();
      const failsBefore = roll < docker.flakiness / 2;
      const failsAfter = !failsBefore && roll < docker.flakiness;
      const onAbort = (): void => settle(() => reject(signal.reason));
      const cancelTimer = scheduler.after(timeoutMs, agent, () => {
        settle(() => reject(new EngineError("unavailable", "the daemon did not answer in time")));
      });
      const settle = (run: () => void): void => {
        cancelTimer();
        signal.removeEventListener("abort", onAbort);
        run();
      };
      const reply = (run: () => void): void => void scheduler.after(0.5, agent, () => settle(run));
      signal.addEventListener("abort", onAbort, { once: true });
      if (!daemon.isAlive) return reply(() => reject(new EngineError("unavailable", "connect ECONNREFUSED")));
      daemon.onKill(() => reply(() => reject(new EngineError("unavailable", "socket hang up"))));
      scheduler.after(workMs * (0.5 + rng.next()) * docker.slowness, daemon, () => {
        if (failsBefore) return reply(() => reject(new EngineError("failed", "internal error, try again")));
        Promise.resolve()
          .then(work)
          .then(
            (value) => {
              if (failsAfter) reply(() => reject(new EngineError("unavailable", "unexpected EOF")));
              else reply(() => resolve(value));
            },
            (error: unknown) => reply(() => reject(error)),
          );
      });
    });
  };
}

async function* events(
  docker: SimDocker,
  agent: Actor,
  { sinceNs, signal }: EventsOptions,
): AsyncGenerator<ContainerEvent> {
  const { scheduler, daemon } = docker;
  const mailbox = new MessageQueue<ContainerEvent>();
  const end = (error?: Error): void => void scheduler.after(0.5, agent, () => mailbox.end(error));
  if (!daemon.isAlive) throw new EngineError("unavailable", "connect ECONNREFUSED");
  daemon.onKill(() => end(new EngineError("unavailable", "the stream of events ended")));
  const onAbort = (): void => mailbox.end(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const agoMs = sinceNs === "" ? 0 : Math.max(0, Date.now() - Number(sinceNs.slice(0, -6)));
  scheduler.after(1, daemon, () => {
    docker.listen(scheduler.nowMs - agoMs, (event) => {
      scheduler.after(1, agent, () => mailbox.push(event));
    });
  });
  try {
    yield* mailbox;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function* nothing(): AsyncGenerator<never> {}
