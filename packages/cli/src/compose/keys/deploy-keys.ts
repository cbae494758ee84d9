import {
  type Resources,
  type RestartPolicy,
  RestartPolicy_Condition,
  UpdateConfig_Order,
} from "@berth/proto";
import { applyKeys } from "../apply-keys.js";
import {
  type Cursor,
  readBytes,
  readChoice,
  readDurationMs,
  readInteger,
  readItems,
  readNanoCpus,
  readOneOf,
  readText,
  readTextMap,
} from "../cursor.js";
import { type KeyTable, rule, type ServiceDraft } from "../service-draft.js";
import { leaveOut, refuse } from "./not-supported.js";

const COUNT = { min: 0, max: 2 ** 31 - 1 };
const PIDS = { min: -1, max: 2 ** 31 - 1 };
const REPLICAS = { min: 0, max: 100_000 };

const RESTART = /^(no|always|unless-stopped|on-failure)(?::(\d+))?$/;
const CONDITIONS = {
  any: RestartPolicy_Condition.ANY,
  "on-failure": RestartPolicy_Condition.ON_FAILURE,
  none: RestartPolicy_Condition.NONE,
};
const ORDERS = {
  "stop-first": UpdateConfig_Order.STOP_FIRST,
  "start-first": UpdateConfig_Order.START_FIRST,
};

/** The order matters: `deploy` wins over the older words for the same things. */
export const DEPLOY_KEYS: KeyTable<ServiceDraft> = {
  restart: readRestart,
  scale: readReplicas,
  deploy: (cursor, draft) => applyKeys(cursor, DEPLOY_FIELDS, draft),
};

const DEPLOY_FIELDS: KeyTable<ServiceDraft> = {
  replicas: readReplicas,
  mode: (cursor, draft) => {
    const mode = readOneOf(cursor, ["replicated", "global", "replicated-job", "global-job"]);
    if (mode === "replicated-job" || mode === "global-job") {
      cursor.diagnostics.error(cursor, `not supported yet: the mode ${mode}`);
    }
    if (mode !== "global") return;
    const hasReplicas = draft.spec.mode?.$case === "replicated";
    if (hasReplicas)
      cursor.diagnostics.error(cursor, "a global service runs once on each node: it has no replicas");
    draft.spec.mode = { $case: "global", value: {} };
  },
  labels: rule(readTextMap, (draft, labels) => {
    draft.spec.labels = labels;
  }),
  placement: (cursor, draft) => applyKeys(cursor, PLACEMENT_KEYS, draft),
  resources: (cursor, draft) => applyKeys(cursor, RESOURCES_KEYS, draft),
  restart_policy: (cursor, draft) => applyKeys(cursor, RESTART_POLICY_KEYS, draft.restart),
  update_config: (cursor, draft) => applyKeys(cursor, UPDATE_CONFIG_KEYS, draft),
  rollback_config: leaveOut("an update that fails is not rolled back"),
  endpoint_mode: (cursor) => {
    const mode = readOneOf(cursor, ["vip", "dnsrr"]);
    if (mode === "dnsrr")
      cursor.diagnostics.warn(cursor, "not supported yet: services have no names to look up");
  },
};

function readReplicas(cursor: Cursor, draft: ServiceDraft): void {
  const replicas = readInteger(cursor, REPLICAS);
  if (replicas === undefined) return;
  const earlier = draft.spec.mode?.$case === "replicated" ? draft.spec.mode.value.replicas : replicas;
  if (earlier !== replicas) cursor.diagnostics.error(cursor, `says ${replicas}, but scale says ${earlier}`);
  draft.spec.mode = { $case: "replicated", value: { replicas } };
}

function readRestart(cursor: Cursor, draft: ServiceDraft): void {
  // An unquoted `no` is text in YAML 1.2; `false` is what it becomes on the way through older tools.
  const isOff = cursor.node.kind === "scalar" && cursor.node.value === false;
  const text = isOff ? "no" : readText(cursor);
  if (text === undefined) return;
  const [, policy, attempts] = RESTART.exec(text) ?? [];
  if (policy === undefined || (attempts !== undefined && policy !== "on-failure")) {
    const choices = "no, always, unless-stopped, on-failure or on-failure:3";
    cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is not possible: use ${choices}`);
    return;
  }
  draft.restart.condition = restartCondition(policy);
  draft.restart.maxAttempts = Number(attempts ?? 0);
}

function restartCondition(policy: string): RestartPolicy_Condition {
  if (policy === "no") return RestartPolicy_Condition.NONE;
  return policy === "on-failure" ? RestartPolicy_Condition.ON_FAILURE : RestartPolicy_Condition.ANY;
}

const RESTART_POLICY_KEYS: KeyTable<RestartPolicy> = {
  condition: rule(
    (cursor) => readChoice(cursor, CONDITIONS),
    (policy, condition) => {
      policy.condition = condition;
      policy.maxAttempts = 0;
    },
  ),
  delay: rule(readDurationMs, (policy, ms) => {
    policy.delayMs = ms;
  }),
  max_attempts: rule(
    (cursor) => readInteger(cursor, COUNT),
    (policy, attempts) => {
      policy.maxAttempts = attempts;
    },
  ),
  window: rule(readDurationMs, (policy, ms) => {
    policy.windowMs = ms;
  }),
};

const UPDATE_CONFIG_KEYS: KeyTable<ServiceDraft> = {
  parallelism: rule(
    (cursor) => readInteger(cursor, COUNT),
    ({ update }, parallelism) => {
      update.parallelism = parallelism;
    },
  ),
  delay: rule(readDurationMs, ({ update }, ms) => {
    update.delayMs = ms;
  }),
  order: rule(
    (cursor) => readChoice(cursor, ORDERS),
    ({ update }, order) => {
      update.order = order;
    },
  ),
  failure_action: leaveOut("an update goes on when a task fails"),
  monitor: leaveOut("a task counts as updated once it runs and is healthy"),
  max_failure_ratio: leaveOut("an update goes on when a task fails"),
};

const PLACEMENT_KEYS: KeyTable<ServiceDraft> = {
  constraints: (cursor, draft) => {
    for (const item of readItems(cursor) ?? []) {
      const text = readText(item);
      if (text !== undefined) addConstraint(item, text, draft);
    }
  },
  max_replicas_per_node: rule(
    (cursor) => readInteger(cursor, COUNT),
    ({ placement }, limit) => {
      placement.maxReplicasPerNode = limit;
    },
  ),
  preferences: leaveOut("tasks spread over all nodes alike"),
};

/** Swarm's managers and workers do not exist here: every node is a worker. */
const ROLE = /^\s*node\.role\s*(==|!=)\s*(manager|worker)\s*$/i;

function addConstraint(cursor: Cursor, text: string, draft: ServiceDraft): void {
  if (ROLE.test(text)) {
    const message =
      "berth's nodes have no roles: the constraint has no effect. Use node.labels.KEY or node.hostname";
    cursor.diagnostics.warn(cursor, message);
    return;
  }
  const { constraints } = draft.placement;
  draft.origins.set(`placement.constraints[${constraints.length}]`, cursor);
  constraints.push(text);
}

const RESOURCES_KEYS: KeyTable<ServiceDraft> = {
  limits: (cursor, draft) => {
    draft.origins.set("task.limits", cursor);
    applyKeys(cursor, LIMIT_KEYS, draft.limits);
  },
  reservations: (cursor, draft) => {
    draft.origins.set("task.reservations", cursor);
    applyKeys(cursor, RESERVATION_KEYS, draft.reservations);
  },
};

const CPU_AND_MEMORY_KEYS: KeyTable<Resources> = {
  cpus: rule(readNanoCpus, (resources, nano) => {
    resources.nanoCpus = nano;
  }),
  memory: rule(readBytes, (resources, bytes) => {
    resources.memoryBytes = bytes;
  }),
};

const LIMIT_KEYS: KeyTable<Resources> = {
  ...CPU_AND_MEMORY_KEYS,
  pids: rule(
    (cursor) => readInteger(cursor, PIDS),
    (resources, pids) => {
      resources.pids = pids;
    },
  ),
};

const RESERVATION_KEYS: KeyTable<Resources> = {
  ...CPU_AND_MEMORY_KEYS,
  devices: refuse("reserving devices such as GPUs"),
  generic_resources: refuse("reserving resources other than cpus and memory"),
};
