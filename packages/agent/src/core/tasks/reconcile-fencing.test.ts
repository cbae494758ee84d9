import { DesiredState, FENCE_GRACE_MS } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isAlive } from "../docker/observed-container.js";
import { reconcile } from "./reconcile.js";
import { BLANK_MEMORY } from "./task-memory.js";
import { containerWith, specWith, taskWith, viewWith } from "./testing.js";

const assigned = (atMostOne: boolean) => ({
  task: taskWith({ atMostOne }),
  spec: specWith(),
  receivedAtMs: 1_000,
});

describe("reconcile on a fenced node", () => {
  it("stops an at-most-one task with a short grace period and states the reason", () => {
    const container = containerWith({ stopGraceMs: 60_000 });
    const view = viewWith({ assignment: assigned(true), containers: [container], isFenced: true });
    const { step } = reconcile(view, 2_000);
    expect(step).toMatchObject({ kind: "stop", containerId: "c1", graceMs: FENCE_GRACE_MS });
    expect(step?.kind === "stop" && step.failure).toMatch(/at most one instance/);
  });

  it("stops an at-most-one task while the retry of another step is due later, but waits for the retry of the stop", () => {
    const decideWithRetryOf = (step: "post-start" | "stop") => {
      const memory = { ...BLANK_MEMORY, retry: { step, attempts: 5, notBeforeMs: 9_000, reason: "failed" } };
      const containers = [containerWith()];
      return reconcile(viewWith({ assignment: assigned(true), containers, isFenced: true, memory }), 2_000);
    };
    expect(decideWithRetryOf("post-start").step?.kind).toBe("stop");
    expect(decideWithRetryOf("stop")).toMatchObject({ requeueAtMs: 9_000 });
    expect(decideWithRetryOf("stop")).not.toHaveProperty("step");
  });

  it("recognizes an at-most-one container by its label after a restart of the agent", () => {
    const containers = [containerWith({ atMostOne: true })];
    const view = viewWith({ assignment: undefined, containers, isFenced: true });
    expect(reconcile(view, 2_000).step?.kind).toBe("stop");
  });

  it("continues with other tasks as last assigned", () => {
    const containers = [containerWith()];
    const wanted = viewWith({ assignment: assigned(false), containers, isFenced: true });
    expect(reconcile(wanted, 0)).not.toHaveProperty("step");
    const removed = viewWith({ assignment: undefined, containers, isFenced: true });
    expect(reconcile(removed, 0).step?.kind).toBe("stop");
    expect(reconcile(viewWith({ assignment: undefined, isFenced: true }), 0).isGone).toBe(true);
  });

  it("never starts an at-most-one task, whatever the state of its container", () => {
    const state = fc.constantFrom("created", "running", "exited", "dead", undefined);
    const desired = fc.constantFrom(DesiredState.RUNNING, DesiredState.SHUTDOWN, DesiredState.REMOVE);
    fc.assert(
      fc.property(state, desired, (containerState, desiredState) => {
        const containers = containerState === undefined ? [] : [containerWith({ state: containerState })];
        const task = taskWith({ atMostOne: true, desiredState });
        const view = viewWith({ assignment: { ...assigned(true), task }, containers, isFenced: true });
        const kind = reconcile(view, 0).step?.kind;
        expect(kind).toBe(containers.some(isAlive) ? "stop" : undefined);
      }),
    );
  });
});
