import { deviceRequests } from "./service-shapes.js";
import {
  bytesText,
  cpus,
  decimal,
  duration,
  fields,
  integer,
  keyValues,
  listOf,
  oneOf,
  type Shape,
  text,
} from "./shape.js";

const rollout = fields({
  parallelism: integer,
  delay: duration,
  failure_action: text,
  monitor: duration,
  max_failure_ratio: decimal,
  order: oneOf("start-first", "stop-first"),
});

const genericResources = listOf(fields({ discrete_resource_spec: fields({ kind: text, value: integer }) }));

/** `deploy` of a service. */
export const deploy: Shape = fields({
  mode: text,
  endpoint_mode: text,
  replicas: integer,
  labels: keyValues(""),
  rollback_config: rollout,
  update_config: rollout,
  resources: fields({
    limits: fields({ cpus, memory: bytesText, pids: integer }),
    reservations: fields({
      cpus,
      memory: bytesText,
      pids: integer,
      generic_resources: genericResources,
      devices: deviceRequests(["capabilities"]),
    }),
  }),
  restart_policy: fields({ condition: text, delay: duration, max_attempts: integer, window: duration }),
  placement: fields({
    constraints: listOf(text),
    preferences: listOf(fields({ spread: text })),
    max_replicas_per_node: integer,
  }),
});
