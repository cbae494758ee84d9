import { NetworkMode, PortSpec_Protocol, TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { ObservedContainer } from "../docker/observed-container.js";
import { MAX_TIMEOUTS, PORT_TIMEOUT_MS } from "./readiness.js";
import { reconcile } from "./reconcile.js";
import { applyOutcome } from "./task-memory.js";
import type { TaskView } from "./task-view.js";
import { containerWith, type SpecParts, specWith, taskWith, viewWith } from "./testing.js";

const NOW_MS = 100_000;
const HTTP = { target: 80, published: 8080 };
const ON_BRIDGE = { networks: [{ name: "bridge", address: "172.17.0.2" }] };

function running(parts: SpecParts, container: Partial<ObservedContainer> = ON_BRIDGE): TaskView {
  const assignment = { task: taskWith(), spec: specWith(parts), receivedAtMs: 1_000 };
  return viewWith({ assignment, containers: [containerWith(container)] });
}

/** Returns the view after a probe of the ports. */
function probed(
  view: TaskView,
  refused: readonly number[],
  nowMs: number,
  unanswered: readonly number[] = [],
): TaskView {
  const { status, step } = reconcile(view, nowMs);
  if (step?.kind !== "probe-ports") throw new Error(`no port probe but ${step?.kind}`);
  const outcome = { kind: "ports-probed", containerId: step.containerId, refused, unanswered } as const;
  return { ...view, status, memory: applyOutcome(view.memory, { step, outcome, nowMs }) };
}

describe("a container without a healthcheck whose ports are published", () => {
  const view = running({ ports: [HTTP, { target: 443 }, { target: 53, protocol: PortSpec_Protocol.UDP }] });

  test("counts as running once its ports accept connections", () => {
    expect(reconcile(view, NOW_MS)).toMatchObject({
      status: { state: TaskState.STARTING },
      step: { kind: "probe-ports", containerId: "c1", address: "172.17.0.2", ports: [80, 443] },
    });
    const closed = probed(view, [443], NOW_MS);
    const waiting = reconcile(closed, NOW_MS + 1);
    expect(waiting).toMatchObject({
      status: { state: TaskState.STARTING, message: "waiting for port 443 to accept connections" },
    });
    expect(waiting.step).toBeUndefined();
    const open = probed(closed, [], waiting.requeueAtMs ?? 0);
    expect(reconcile(open, NOW_MS + 50)).toMatchObject({ status: { state: TaskState.RUNNING, message: "" } });
    expect(reconcile(open, NOW_MS + 50).step).toBeUndefined();
  });

  test("counts as running after ten seconds, and its message names the port that refuses", () => {
    const closed = probed(view, [80], NOW_MS);
    const still = probed(closed, [80], NOW_MS + PORT_TIMEOUT_MS);
    expect(reconcile(still, NOW_MS + PORT_TIMEOUT_MS)).toMatchObject({
      status: { state: TaskState.RUNNING, message: "port 80 did not accept connections within 10 s" },
    });
  });

  test("a connect that times out on a busy host is repeated before the port counts as ready", () => {
    const late = probed(view, [], NOW_MS, [80]);
    expect(reconcile(late, NOW_MS)).toMatchObject({
      status: { state: TaskState.STARTING, message: "waiting for port 80 to accept connections" },
    });
    const refusing = probed(late, [80], NOW_MS + 300);
    expect(reconcile(refusing, NOW_MS + 300)).toMatchObject({ status: { state: TaskState.STARTING } });
    const open = probed(refusing, [], NOW_MS + 600);
    expect(reconcile(open, NOW_MS + 600)).toMatchObject({
      status: { state: TaskState.RUNNING, message: "" },
    });
  });

  test(`a port that never answers counts as ready after ${MAX_TIMEOUTS} attempts`, () => {
    let silent = view;
    for (let attempt = 1; attempt <= MAX_TIMEOUTS; attempt += 1) {
      expect(reconcile(silent, NOW_MS + attempt * 500)).toMatchObject({
        status: { state: TaskState.STARTING },
      });
      silent = probed(silent, [], NOW_MS + attempt * 500, [80]);
    }
    expect(reconcile(silent, NOW_MS + 5_000)).toMatchObject({
      status: { state: TaskState.RUNNING, message: "" },
    });
  });

  test("a running container is not probed again, not even by a restarted agent", () => {
    const open = probed(view, [], NOW_MS);
    const { status } = reconcile(open, NOW_MS);
    const restarted = reconcile({ ...view, status }, NOW_MS);
    expect(restarted).toMatchObject({ status: { state: TaskState.RUNNING } });
    expect(restarted.step).toBeUndefined();
  });
});

describe("readiness without probes", () => {
  test.each<[string, TaskView]>([
    ["when none are published", running({})],
    ["when a healthcheck reports readiness", running({ ports: [HTTP] }, { ...ON_BRIDGE, health: "healthy" })],
    [
      "when only UDP ports are published",
      running({ ports: [{ target: 53, protocol: PortSpec_Protocol.UDP }] }),
    ],
    ["when the container has no address", running({ ports: [HTTP] }, {})],
  ])("does not probe ports %s", (_when, view) => {
    expect(reconcile(view, NOW_MS)).toMatchObject({ status: { state: TaskState.RUNNING } });
    expect(reconcile(view, NOW_MS).step).toBeUndefined();
  });
});

test("a container on the host's own network is probed at the host's address", () => {
  const view = running({ container: { networkMode: NetworkMode.HOST }, ports: [HTTP] }, {});
  expect(reconcile(view, NOW_MS)).toMatchObject({ step: { kind: "probe-ports", address: "10.0.0.1" } });
});
