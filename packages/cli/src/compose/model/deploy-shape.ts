import { deviceRequests } from "./device-shapes.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf } from "./shapes/list-shapes.js";
import { fields, type Keys, key } from "./shapes/map-shapes.js";
import { bytesText, cpus, duration } from "./shapes/quantity-shapes.js";
import { decimal, integer, oneOf, text } from "./shapes/scalar-shapes.js";
import type { Shape } from "./shapes/shape.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

const IGNORED_BY_COMPOSE = { compose: "ignores it" };

const ROLLOUT_KEYS: Keys = {
  parallelism: key(integer, "Number of tasks to replace at a time; 0 means all", 2, IGNORED_BY_COMPOSE),
  delay: key(duration, "Time between two batches of tasks", "10s", IGNORED_BY_COMPOSE),
  failure_action: key(text, "What to do if an update fails: pause, continue or rollback", "continue", {
    ...IGNORED_BY_COMPOSE,
  }),
  monitor: key(duration, "Time for which a new task is monitored for failure", "30s", IGNORED_BY_COMPOSE),
  max_failure_ratio: key(decimal, "Failure ratio to tolerate, from 0 to 1", 0.2, IGNORED_BY_COMPOSE),
  order: key(
    oneOf("start-first", "stop-first"),
    "Whether the new task starts before the old one stops. The default is start-first where possible",
    "stop-first",
    { ...IGNORED_BY_COMPOSE, swarm: "the default is stop-first" },
  ),
};

const genericResources = listOf(
  fields({
    discrete_resource_spec: key(
      fields({
        kind: key(text, "Name of the resource", "gpu", { with: { value: 1 } }),
        value: key(integer, "Amount that a task reserves", 1, { with: { kind: "gpu" } }),
      }),
      "Countable resource",
      { kind: "gpu", value: 1 },
      IGNORED_BY_COMPOSE,
    ),
  }),
);

const limits = fields({
  cpus: key(cpus, "Maximum number of CPUs", 0.5, { swarm: "rejects unquoted numbers" }),
  memory: key(bytesText, "Memory limit", "512M"),
  pids: key(integer, "Maximum number of processes", 100),
});

const reservations = fields({
  cpus: key(cpus, "CPUs that a node must have free", 0.25, {
    ...IGNORED_BY_COMPOSE,
    swarm: "rejects unquoted numbers",
  }),
  memory: key(bytesText, "Memory that a node must have free", "256M"),
  pids: key(integer, "Processes that a node must have free", 10, REJECTED_BY_SWARM),
  generic_resources: key(
    genericResources,
    "Custom resources that operators declare on nodes",
    [{ discrete_resource_spec: { kind: "gpu", value: 1 } }],
    IGNORED_BY_COMPOSE,
  ),
  devices: key(
    deviceRequests(["capabilities"]),
    "Devices provided by a driver, such as GPUs",
    [{ driver: "nvidia", count: 1, capabilities: ["gpu"] }],
    REJECTED_BY_SWARM,
  ),
});

const restartPolicy = fields({
  condition: key(text, "When to replace a task that has ended: any, on-failure or none", "on-failure"),
  delay: key(duration, "Time between restart attempts", "5s"),
  max_attempts: key(integer, "Maximum number of restarts within the window; 0 means no limit", 3),
  window: key(duration, "Window in which restarts are counted", "2m"),
});

const placement = fields({
  constraints: key(
    listOf(text),
    "Constraints on node.role, node.id, node.hostname, node.platform, node.labels and engine.labels",
    ["node.labels.zone == a"],
    IGNORED_BY_COMPOSE,
  ),
  preferences: key(
    listOf(
      fields({
        spread: key(
          text,
          "Spreads the tasks evenly over the values of a node attribute",
          "node.labels.zone",
          IGNORED_BY_COMPOSE,
        ),
      }),
    ),
    "Placement preferences",
    [{ spread: "node.labels.zone" }],
    IGNORED_BY_COMPOSE,
  ),
  max_replicas_per_node: key(integer, "Maximum number of tasks per node", 2, IGNORED_BY_COMPOSE),
});

/** `deploy` of a service. */
export const deploy: Shape = fields({
  mode: key(
    text,
    "Service mode: replicated, global, replicated-job or global-job",
    "global",
    IGNORED_BY_COMPOSE,
  ),
  endpoint_mode: key(
    text,
    "Whether the name of the service resolves to a virtual IP (vip) or to the addresses of the tasks (dnsrr)",
    "dnsrr",
    IGNORED_BY_COMPOSE,
  ),
  replicas: key(integer, "Number of tasks", 2, { swarm: "rejects quoted numbers" }),
  labels: key(keyValues(""), "Service labels", { team: "shop" }, IGNORED_BY_COMPOSE),
  update_config: key(fields(ROLLOUT_KEYS), "How an update proceeds", { parallelism: 2 }, IGNORED_BY_COMPOSE),
  rollback_config: key(
    fields(ROLLOUT_KEYS),
    "How a rollback proceeds",
    { parallelism: 2 },
    IGNORED_BY_COMPOSE,
  ),
  resources: key(
    fields({
      limits: key(limits, "Maximum resources of a task", { memory: "512M" }),
      reservations: key(reservations, "Free resources that a task requires on its node", { memory: "256M" }),
    }),
    "Limits and reservations of each task",
    { limits: { memory: "512M" } },
  ),
  restart_policy: key(restartPolicy, "When to replace a task that has ended", { condition: "on-failure" }),
  placement: key(placement, "Which nodes run the tasks", { max_replicas_per_node: 2 }, IGNORED_BY_COMPOSE),
});
