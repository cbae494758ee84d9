import { ClusterStore } from "../../../packages/web/src/core/cluster/cluster-store.js";
import { decodeUpdate } from "../../../packages/web/src/core/cluster/cluster-update.js";
import { isObject } from "../../../packages/web/src/core/json.js";
import { mapCell } from "../../../packages/web/src/core/map/cluster-view.js";
import { EventStreamParser } from "../../../packages/web/src/core/stream/event-stream.js";
import { check, checkEqual, unlessRejected } from "../engine/expect.js";
import type { Target } from "../engine/target.js";

const isSyntaxError = (error: unknown): boolean => error instanceof SyntaxError;

const UPDATE = {
  position: { epoch: 42, sequence: 1, revision: 9_031, eventSequence: 7 },
  isSnapshot: true,
  nowMs: 1_764_588_000_000,
  cluster: {
    leaderAddress: "10.0.0.1:7400",
    voters: 3,
    servers: [{ id: "s1", webUrl: "https://10.0.0.1:7406" }],
  },
  nodes: [
    { id: "n1", hostname: "h1", state: "NODE_STATE_READY", labels: { zone: "a" }, problems: ["disk full"] },
  ],
  services: [
    {
      id: "v1",
      name: "shop_web",
      mode: "MODE_REPLICATED",
      ports: [{ target: 80, published: 8_080 }],
      rollout: { state: "STATE_UPDATING", fromVersion: 1, toVersion: 2 },
      healthyVersions: [1],
    },
  ],
  tasks: [
    {
      id: "t9",
      serviceId: "v1",
      slot: 1,
      nodeId: "n1",
      state: "TASK_STATE_RUNNING",
      desiredState: "DESIRED_STATE_RUNNING",
      health: "HEALTH_HEALTHY",
      replaces: { taskId: "t1", nodeId: "n2", cause: "CAUSE_UPDATE", message: "version 1 → 2" },
    },
  ],
  removedTasks: ["t1"],
  slots: [
    { key: "v1/1", serviceId: "v1", slot: 1, progress: "PROGRESS_UPDATING", untilMs: 1_764_588_298_000 },
  ],
  events: [{ epoch: 42, sequence: 7, timeMs: 1_764_587_998_000, reason: "TASK_PLACED", taskId: "t9" }],
};

export const PAGE_TARGETS: readonly Target[] = [
  {
    name: "page-update",
    format: "json",
    seeds: [JSON.stringify(UPDATE)],
    run: (bytes) => {
      const json = unlessRejected((): unknown => JSON.parse(bytes.toString()), isSyntaxError);
      if (!isObject(json)) return;
      const update = decodeUpdate(json, (id) => id);
      for (const { slot, sinceMs, createdAtMs } of update.tasks) {
        for (const number of [slot, sinceMs, createdAtMs]) {
          check(Number.isFinite(number), "numbers of a task are finite");
        }
      }
      const store = new ClusterStore();
      store.apply(update);
      for (const [id, { nodeId }] of store.tasks) {
        check(store.tasksOnNode(nodeId).has(id), "each task is on its node");
        const isKnown = store.nodes.get(nodeId)?.state === "ready";
        const display = mapCell(store, id, true)?.display;
        check(isKnown || display !== "running", "a task without a ready node is not shown as running");
      }
    },
  },
  {
    name: "page-stream",
    seeds: ["id: 42.1\ndata: {}\n\n: comment\n\nevent: failure\r\ndata: a\r\ndata: b\r\n\r\n"],
    tokens: ["data:", "event:", "id:", "\n\n", "\r\n"],
    run: (bytes) => {
      const text = bytes.toString();
      const whole = new EventStreamParser().push(text);
      const parser = new EventStreamParser();
      const half = Math.floor(text.length / 2);
      checkEqual(
        [...parser.push(text.slice(0, half)), ...parser.push(text.slice(half))],
        whole,
        "events do not depend on where the text is split",
      );
    },
  },
];
