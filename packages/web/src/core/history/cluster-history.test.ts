import { describe, expect, it } from "vitest";
import { decodeNode, type Node } from "../model/node.js";
import { decodeTask, type Task } from "../model/task.js";
import { ClusterHistory, HISTORY_MS } from "./cluster-history.js";

const MINUTE_MS = 60_000;

function task(id: string, state: string): Task {
  const decoded = decodeTask({ id, serviceId: "s1", slot: 1, nodeId: "n1", state }, () => "shop_web");
  if (decoded === undefined) throw new Error("the task has no id");
  return decoded;
}

function node(id: string): Node {
  const decoded = decodeNode({ id, hostname: id });
  if (decoded === undefined) throw new Error("the node has no id");
  return decoded;
}

const statesAt = (history: ClusterHistory, timeMs: number): readonly string[] =>
  history.at(timeMs).tasks.map(({ id, state }) => `${id} ${state}`);

describe("ClusterHistory", () => {
  it("returns the records as they were at a time", () => {
    const history = new ClusterHistory();
    history.recordNode("n1", node("n1"), 1_000);
    history.recordTask("t1", task("t1", "TASK_STATE_STARTING"), 1_000);
    history.recordTask("t1", task("t1", "TASK_STATE_RUNNING"), 2_000);
    history.recordTask("t2", task("t2", "TASK_STATE_RUNNING"), 3_000);
    history.recordTask("t1", undefined, 3_000);
    expect(statesAt(history, 999)).toEqual([]);
    expect(statesAt(history, 1_999)).toEqual(["t1 starting"]);
    expect(statesAt(history, 2_000)).toEqual(["t1 running"]);
    expect(statesAt(history, 5_000)).toEqual(["t2 running"]);
    expect(history.at(2_000).nodes.map(({ id }) => id)).toEqual(["n1"]);
  });

  it("never goes back in time when the clock of another leader is behind", () => {
    const history = new ClusterHistory();
    history.recordTask("t1", task("t1", "TASK_STATE_STARTING"), 5_000);
    history.recordTask("t1", task("t1", "TASK_STATE_RUNNING"), 4_000);
    expect(statesAt(history, 5_000)).toEqual(["t1 running"]);
  });

  it("forgets what is older than an hour, but not what is still true", () => {
    const history = new ClusterHistory();
    history.recordTask("old", task("old", "TASK_STATE_RUNNING"), 0);
    history.recordTask("gone", task("gone", "TASK_STATE_RUNNING"), 0);
    history.recordTask("gone", undefined, MINUTE_MS);
    const now = HISTORY_MS + 3 * MINUTE_MS;
    history.recordTask("new", task("new", "TASK_STATE_RUNNING"), now);
    expect(history.startMs).toBe(now - HISTORY_MS);
    expect(statesAt(history, now)).toEqual(["old running", "new running"]);
    expect(history.size).toBe(2);
  });

  it("has a bounded size, and drops the oldest states first", () => {
    const history = new ClusterHistory();
    const states = [task("t", "TASK_STATE_RUNNING"), task("t", "TASK_STATE_STARTING")];
    let now = 0;
    for (let change = 0; change < 450_000; change += 1) {
      now += 5;
      history.recordTask(`t${change % 1_000}`, states[change % 2], now);
      if (change % 50_000 === 0) expect(history.size).toBeLessThanOrEqual(200_000);
    }
    // Nearly all states that fit are kept: each change is a state, 5 ms after the one before.
    expect(history.size).toBeGreaterThanOrEqual(180_000);
    expect(history.startMs).toBeLessThanOrEqual(now - 179_000 * 5);
    expect(statesAt(history, now)).toHaveLength(1_000);
  });
});
