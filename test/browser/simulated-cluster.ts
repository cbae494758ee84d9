import type { JsonObject } from "../../packages/web/src/core/json.js";

export interface ClusterSize {
  readonly hosts: number;
  readonly services: number;
  readonly tasksPerService: number;
}

type TaskJson = JsonObject & {
  readonly id: string;
  readonly nodeId: string;
  readonly slot: number;
  readonly serviceId: string;
};
type NodeJson = JsonObject & { readonly id: string; readonly hostname: string };

/** Number of events in a snapshot. */
const SNAPSHOT_EVENTS = 100;

/** A part of an update: records and IDs by the names of the protocol. */
export type Changes = Readonly<Record<string, readonly unknown[]>>;

/**
 * A cluster that exists only as the JSON of `WatchCluster`, for states of the web UI that a real cluster reaches only
 * by chance, and for sizes that one computer cannot run.
 */
export class SimulatedCluster {
  readonly startedAtMs = Date.now();
  readonly #nodes = new Map<string, NodeJson>();
  readonly #services = new Map<string, JsonObject>();
  readonly #tasks = new Map<string, TaskJson>();
  readonly #slots = new Map<string, JsonObject>();
  readonly #events: JsonObject[] = [];
  #created = 0;
  #eventSequence = 0;

  constructor({ hosts, services, tasksPerService }: ClusterSize) {
    for (let host = 1; host <= hosts; host += 1) this.#setNode(`n${host}`, { hostname: `h${host}` });
    for (let service = 1; service <= services; service += 1) {
      const name = service === 1 ? "shop_web" : `app${service}_api`;
      this.#services.set(`s${service}`, {
        id: `s${service}`,
        name,
        stack: name.split("_", 1)[0],
        mode: "MODE_REPLICATED",
        image: "shop:1",
        version: 1,
        templateVersion: 1,
        updatedAtMs: this.startedAtMs - 3_600_000,
        desired: tasksPerService,
        running: tasksPerService,
        isConverged: true,
        ports: [{ target: 80, published: 8_000 + service }],
      });
      for (let slot = 1; slot <= tasksPerService; slot += 1) {
        const host = ((service * 7 + slot) % hosts) + 1;
        this.#createTask(`s${service}`, slot, `n${host}`, { state: "TASK_STATE_RUNNING" });
      }
    }
  }

  get taskIds(): readonly string[] {
    return [...this.#tasks.keys()];
  }

  /** All records, as in a snapshot. */
  records(): Changes & { readonly cluster: JsonObject } {
    return {
      cluster: this.#controlPlane(),
      nodes: [...this.#nodes.values()],
      services: [...this.#services.values()],
      tasks: [...this.#tasks.values()],
      slots: [...this.#slots.values()],
      events: this.#events.slice(),
    } as unknown as Changes & { readonly cluster: JsonObject };
  }

  /** Changes fields of a node. Returns the change. */
  setNode(id: string, fields: JsonObject): Changes {
    return { nodes: [this.#setNode(id, fields)] };
  }

  setTask(id: string, fields: JsonObject): Changes {
    const task = this.#tasks.get(id);
    if (task === undefined) return {};
    const changed = { ...task, ...fields };
    this.#tasks.set(id, changed);
    return { tasks: [changed] };
  }

  setService(id: string, fields: JsonObject): Changes {
    const changed = { ...this.#services.get(id), ...fields };
    this.#services.set(id, changed);
    return { services: [changed] };
  }

  /** Changes the state of a node to down: what runs there is not known any more. */
  loseNode(id: string): Changes {
    const node = this.#setNode(id, {
      state: "NODE_STATE_DOWN",
      isSuspect: false,
      stateMessage: "no heartbeat for 1.0 s, and no other node reaches it",
    });
    const tasks = this.#tasksOn(id).map((task) => ({ ...task, health: "HEALTH_UNKNOWN" }));
    for (const task of tasks) this.#tasks.set(task.id, task);
    return {
      nodes: [node],
      tasks,
      events: [this.#event("NODE_DOWN", { nodeId: id, nodeHostname: node.hostname, isWarning: true })],
    };
  }

  /** Replaces the tasks of a node on other nodes. */
  replaceTasks(id: string): Changes {
    const others = [...this.#nodes.keys()].filter((other) => other !== id);
    const removedTasks: string[] = [];
    const tasks = this.#tasksOn(id).map((task, index) => {
      this.#tasks.delete(task.id);
      removedTasks.push(task.id);
      return this.#createTask(task.serviceId, task.slot, others[index % others.length] ?? id, {
        state: "TASK_STATE_RUNNING",
        replaces: { taskId: task.id, nodeId: id, cause: "CAUSE_NODE_LOSS", message: "node is down" },
      });
    });
    return {
      tasks,
      removedTasks,
      events: tasks.map((task) => this.#placedEvent(task)),
    };
  }

  /** Replaces one task on a random node, as an update does. */
  replaceOne(taskId: string, random: () => number): Changes {
    const task = this.#tasks.get(taskId);
    if (task === undefined) return {};
    const nodes = [...this.#nodes.keys()];
    const nodeId = nodes[Math.floor(random() * nodes.length)] ?? task.nodeId;
    this.#tasks.delete(taskId);
    const replaces = { taskId, nodeId: task.nodeId, cause: "CAUSE_UPDATE", message: "version 1 → 2" };
    const created = this.#createTask(task.serviceId, task.slot, nodeId, {
      state: "TASK_STATE_RUNNING",
      replaces,
    });
    return { tasks: [created], removedTasks: [taskId], events: [this.#placedEvent(created)] };
  }

  /** Changes a service so that it is in the middle of a rollout: three of its slots are updated. */
  startRollout(serviceId: string): Changes {
    const now = Date.now();
    const tasks: TaskJson[] = [];
    for (const task of [...this.#tasks.values()].filter((each) => each.serviceId === serviceId)) {
      const slot = rolloutSlot(task, now);
      this.#slots.set(slot.key, slot);
      const isUpdated = slot.progress === "PROGRESS_UPDATED" || slot.progress === "PROGRESS_MONITORING";
      const state = slot.progress === "PROGRESS_UPDATING" ? "TASK_STATE_STARTING" : task.state;
      const changed = { ...task, state, specVersion: isUpdated ? 2 : 1, isOutdated: !isUpdated };
      this.#tasks.set(task.id, changed);
      tasks.push(changed);
    }
    const service = this.setService(serviceId, {
      version: 2,
      templateVersion: 2,
      isConverged: false,
      reasons: ["it is being updated"],
      rollout: {
        state: "STATE_UPDATING",
        fromVersion: 1,
        toVersion: 2,
        startedAtMs: now,
        progressedAtMs: now,
        updatedSlots: 3,
      },
      rolloutDeadlineMs: now + 300_000,
      healthyVersions: [1],
    });
    return { services: service.services ?? [], tasks, slots: [...this.#slots.values()] };
  }

  #tasksOn(nodeId: string): readonly TaskJson[] {
    return [...this.#tasks.values()].filter((task) => task.nodeId === nodeId);
  }

  #setNode(id: string, fields: JsonObject): NodeJson {
    const defaults = {
      id,
      hostname: id,
      address: `10.0.0.${id.slice(1)}`,
      state: "NODE_STATE_READY",
      availability: "AVAILABILITY_ACTIVE",
      stateSinceMs: this.startedAtMs - 3_600_000,
      nanoCpus: 4e9,
      memoryBytes: 8 * 2 ** 30,
      reservedMemoryBytes: 2 ** 30,
      engineVersion: "20.10.24",
      agentVersion: "0.2.0",
      os: "linux",
      architecture: "amd64",
    };
    const node = { ...defaults, ...this.#nodes.get(id), ...fields };
    this.#nodes.set(id, node);
    return node;
  }

  #createTask(serviceId: string, slot: number, nodeId: string, fields: JsonObject): TaskJson {
    this.#created += 1;
    const task = {
      id: `t${this.#created}`,
      serviceId,
      slot,
      nodeId,
      specVersion: 1,
      desiredState: "DESIRED_STATE_RUNNING",
      sinceMs: Date.now(),
      createdAtMs: Date.now(),
      ...fields,
    };
    this.#tasks.set(task.id, task);
    return task;
  }

  #placedEvent({ id, serviceId, slot, nodeId }: TaskJson): JsonObject {
    return this.#event("TASK_PLACED", {
      taskId: id,
      serviceId,
      serviceName: this.#services.get(serviceId)?.name,
      slot,
      nodeId,
      nodeHostname: this.#nodes.get(nodeId)?.hostname,
    });
  }

  #event(reason: string, fields: JsonObject): JsonObject {
    this.#eventSequence += 1;
    const event = { epoch: 1, sequence: this.#eventSequence, timeMs: Date.now(), reason, ...fields };
    this.#events.push(event);
    if (this.#events.length > SNAPSHOT_EVENTS) this.#events.shift();
    return event;
  }

  #controlPlane(): JsonObject {
    return {
      leaderAddress: "10.0.0.1:7400",
      leaderVersion: "0.2.0",
      voters: 3,
      runningVoters: 3,
      servers: [1, 2, 3].map((number) => ({
        id: `s${number}`,
        hostname: `h${number}`,
        address: `10.0.0.${number}:7400`,
        isUp: true,
        isLeader: number === 1,
        version: "0.2.0",
        certificateExpiresAtMs: this.startedAtMs + 20 * 24 * 3_600_000,
        webUrl: `https://10.0.0.${number}:7406`,
        etcdMemberId: `m${number}`,
        isEtcdRunning: true,
      })),
      authorities: [
        {
          fingerprint: "ab12cd34ef56ab12cd34ef56",
          state: "STATE_ISSUING",
          createdAtMs: this.startedAtMs - 1e9,
          expiresAtMs: this.startedAtMs + 3e11,
        },
      ],
    };
  }
}

/** Returns the progress of a slot in a rollout that updates one slot after another. */
function rolloutSlot({ serviceId, slot }: TaskJson, now: number): JsonObject & { readonly key: string } {
  const fields = { key: `${serviceId}/${slot}`, serviceId, slot };
  if (slot <= 3) return { ...fields, progress: "PROGRESS_UPDATED" };
  if (slot === 4) return { ...fields, progress: "PROGRESS_MONITORING", untilMs: now + 8_000 };
  if (slot > 5) return { ...fields, progress: "PROGRESS_OUTDATED", reason: "it waits for slot 5" };
  return { ...fields, progress: "PROGRESS_UPDATING", untilMs: now + 60_000, reason: "it is starting" };
}
