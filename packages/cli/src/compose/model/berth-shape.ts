import { scalarNode } from "../tree/node.js";
import { dictionary, fields, key } from "./shapes/map-shapes.js";
import { duration } from "./shapes/quantity-shapes.js";
import { decimal, flag, integer, oneOf, text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf } from "./shapes/value-schema.js";

const NEVER = "never";

/** A percentage such as `70` or `70%`. */
const percent = defineShape(
  { kind: "scalar", types: ["number", "string"], pattern: "^\\d+(?:\\.\\d+)?%?$" },
  (cursor, stage) => {
    const { node } = cursor;
    const trimmedText = node.kind === "scalar" && typeof node.value === "string" ? node.value.trim() : "";
    if (!/^\d+(?:\.\d+)?%$/.test(trimmedText)) return decimal(cursor, stage);
    return scalarNode(Number(trimmedText.slice(0, -1)), node.position);
  },
);

const durationOrNever = durationOr(NEVER);
const durationOrOff = durationOr("off");

/** Returns the shape of a duration, for which a word can stand. */
function durationOr(word: string): Shape {
  return defineShape(duration.schema, (cursor, stage) => {
    const { node } = cursor;
    return node.kind === "scalar" && node.value === word ? node : duration(cursor, stage);
  });
}

const cronFields = fields({
  schedule: key(text, "Schedule in cron format", "0 3 * * *"),
  time_zone: key(text, "Time zone of the schedule", "Europe/Berlin", { with: { schedule: "@daily" } }),
  concurrency: key(
    oneOf("allow", "forbid", "replace"),
    "What to do if the previous run has not ended",
    "replace",
    { with: { schedule: "@daily" } },
  ),
  history: key(integer, "Number of ended runs to keep", 5, { with: { schedule: "@daily" } }),
  starting_deadline: key(duration, "Time after which a missed run is skipped", "10m", {
    with: { schedule: "@daily" },
  }),
});

const cron = defineShape(choiceOf(text.schema, cronFields.schema), (cursor, stage) =>
  cursor.node.kind === "scalar" ? text(cursor, stage) : cronFields(cursor, stage),
);

const AUTOSCALE_EXAMPLE = { with: { min: 1, max: 5, target_cpu: 70 } };

const autoscale = fields({
  min: key(
    integer,
    "Minimum number of replicas. With 0, the service stops while no client uses it, and starts when one connects",
    2,
    AUTOSCALE_EXAMPLE,
  ),
  max: key(integer, "Maximum number of replicas. Required unless the minimum is 0", 9, AUTOSCALE_EXAMPLE),
  target_cpu: key(
    percent,
    "Target CPU usage of a replica, in percent of its limit or reservation",
    "60%",
    AUTOSCALE_EXAMPLE,
  ),
  target_connections: key(decimal, "Target number of open connections per replica", 100, AUTOSCALE_EXAMPLE),
  scale_up_window: key(
    duration,
    "Window whose lowest recommendation determines how many replicas are added",
    "10s",
    AUTOSCALE_EXAMPLE,
  ),
  scale_down_window: key(
    duration,
    "Window whose highest recommendation determines how many replicas are removed",
    "2m",
    AUTOSCALE_EXAMPLE,
  ),
});

const failoverFields = fields({
  after: key(durationOrNever, "Time after which the tasks of a lost node are replaced, or never", "10s"),
  never: key(flag, "Whether the tasks of a lost node are never replaced", true),
});

const failover = defineShape(choiceOf(durationOrNever.schema, failoverFields.schema), (cursor, stage) =>
  cursor.node.kind === "scalar" ? durationOrNever(cursor, stage) : failoverFields(cursor, stage),
);

/** `x-berth` of a service: settings that Compose does not define. */
export const berthSettings: Shape = fields({
  cron: key(cron, "Runs the service as a job on a schedule", "@hourly"),
  autoscale: key(autoscale, "Adjusts the number of replicas to the load", {
    min: 1,
    max: 5,
    target_cpu: 70,
  }),
  failover: key(failover, "When the tasks of a lost node are replaced", "30s"),
  env_secrets: key(dictionary(text), "Environment variables whose values are secrets", { KEY: "key" }),
  at_most_one: key(flag, "Never runs two tasks of a slot at the same time, even if a node is lost", true),
  beside: key(text, "Service whose tasks run on the same nodes, slot by slot", "db"),
  // The older spelling with hyphens remains valid.
  "at-most-one": key(flag, "Older spelling of `at_most_one`", true),
  progress_deadline: key(duration, "Time within which an update must make progress", "5m"),
  proxy_protocol: key(flag, "Passes the client's address to containers with the PROXY protocol", true),
  affinity: key(
    oneOf("none", "source"),
    "Whether all connections from one client address go to the same task",
    "source",
  ),
  balance: key(
    oneOf("round-robin", "least-connections"),
    "How connections are balanced",
    "least-connections",
  ),
  hold: key(durationOrOff, "How long a new connection waits while no task accepts it, or off", "10s"),
  ship: key(
    flag,
    "Sends the files and directories of bind mounts with a relative source to the nodes, instead of mounting paths of the nodes",
    true,
    { inService: { volumes: ["./conf:/etc/app:ro"] } },
  ),
  volumes: key(oneOf("sticky", "any"), "Whether a task stays on the node with its volumes", "any"),
});
