import { DesiredState, Hook, type TaskState } from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { reconcile } from "./reconcile.js";
import { isFinal } from "./status.js";
import type { Step, StepOutcome } from "./step.js";
import { applyObservation, applyOutcome, BLANK_MEMORY } from "./task-memory.js";
import type { TaskView } from "./task-view.js";
import {
  containerWith,
  NO_FILES,
  SECRET,
  SECRET_VERSION,
  SHIPPED,
  specWith,
  taskWith,
  viewWith,
} from "./testing.js";

const HOOK = Hook.fromPartial({ command: ["true"] });

/** Far above what any history needs to converge. */
const MAX_STEPS = 60;

type AgentEvent =
  | { readonly kind: "desire"; readonly desired: DesiredState | undefined }
  | { readonly kind: "dies"; readonly exitCode: number }
  | { readonly kind: "restarted-outside" }
  | { readonly kind: "removed-outside" }
  | { readonly kind: "health"; readonly health: ObservedContainer["health"] }
  | { readonly kind: "copied-outside" }
  | { readonly kind: "agent-restarts" }
  | { readonly kind: "host-reboots" }
  | { readonly kind: "time-passes"; readonly ms: number };

const agentEvent: fc.Arbitrary<AgentEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("desire" as const),
    desired: fc.constantFrom(DesiredState.RUNNING, DesiredState.SHUTDOWN, DesiredState.REMOVE, undefined),
  }),
  fc.record({ kind: fc.constant("dies" as const), exitCode: fc.constantFrom(0, 1, 137) }),
  fc.record({
    kind: fc.constant("health" as const),
    health: fc.constantFrom("starting" as const, "healthy" as const, "unhealthy" as const),
  }),
  fc.record({ kind: fc.constant("time-passes" as const), ms: fc.integer({ min: 1, max: 60_000 }) }),
  fc.constantFrom(
    { kind: "restarted-outside" as const },
    { kind: "removed-outside" as const },
    { kind: "copied-outside" as const },
    { kind: "agent-restarts" as const },
    { kind: "host-reboots" as const },
  ),
);

/** A Docker daemon with one task's containers and a foreign container. Steps may fail, or their responses may be lost. */
class SimulatedDocker {
  readonly containers = new Map<string, ObservedContainer>();
  /** Whether the task's secret is on the host. */
  hasFiles = false;
  hasCopies = false;
  readonly foreign: ObservedContainer = containerWith({ id: "foreign", name: "foreign", taskId: "" });
  /** Whether the agent knows the hooks of the task. */
  isAssigned = true;
  /** The containers whose pre_stop hooks ran or failed. */
  readonly #stopping = new Set<string>();
  #hasImage = false;
  #created = 0;
  #portProbes = 0;

  ours(): ObservedContainer[] {
    return [...this.containers.values()];
  }

  change(fields: (container: ObservedContainer) => Partial<ObservedContainer>): void {
    for (const container of this.ours()) {
      this.containers.set(container.id, { ...container, ...fields(container) });
    }
  }

  add(fields: Partial<ObservedContainer>): ObservedContainer {
    this.#created += 1;
    const networks = [{ name: "bridge", address: "172.17.0.2" }];
    const container = containerWith({ id: `c${this.#created}`, networks, ...fields });
    this.containers.set(container.id, container);
    return container;
  }

  image(): TaskView["image"] {
    return { state: this.#hasImage ? "present" : "absent", pullBeganAtMs: 0 };
  }

  /** @param luck "fails": the step has no effect; "lost": it takes effect, but the response is lost */
  run(step: Step, luck: "fine" | "fails" | "lost"): StepOutcome {
    // A step that fails again and again counts as a run.
    if (step.kind === "pre-stop") this.#stopping.add(step.containerId);
    if (luck === "fails") return { kind: "failed", reason: "bad luck" };
    const outcome = this.#do(step);
    return luck === "lost" ? { kind: "unknown", reason: "connection lost" } : outcome;
  }

  #do(step: Step): StepOutcome {
    switch (step.kind) {
      case "check-image":
      case "pull":
        this.#hasImage = true;
        return { kind: "image-known" };
      case "check-health":
        return { ...step, kind: "health-checked", result: "failed" };
      case "post-start":
      case "pre-stop":
        return this.#runHooks(step);
      case "write-files":
        this.hasFiles = true;
        return { kind: "files-written" };
      case "write-shipped":
        this.hasCopies = true;
        return { kind: "shipped-written" };
      case "remove-files":
        expect(this.ours()).toEqual([]);
        this.hasFiles = false;
        this.hasCopies = false;
        return { kind: "files-removed" };
      case "create": {
        expect([this.hasFiles, this.hasCopies]).toEqual([true, true]);
        const holder = this.ours().find(({ name }) => name === step.config.name);
        return {
          kind: "observed",
          container: holder ?? this.add({ state: "created", name: step.config.name }),
        };
      }
      case "connect":
        return this.#set(step.containerId, {});
      case "start":
        expect([this.hasFiles, this.hasCopies]).toEqual([true, true]);
        return this.#set(step.containerId, { state: "running" });
      case "stop":
        if (this.isAssigned && this.containers.get(step.containerId)?.name !== "copy") {
          expect(this.#stopping).toContain(step.containerId);
        }
        return this.#set(step.containerId, { state: "exited", exitCode: 143 });
      case "probe-ports":
        this.#portProbes += 1;
        // Answers at the second attempt and opens at the third.
        return {
          kind: "ports-probed",
          containerId: step.containerId,
          refused: this.#portProbes % 3 === 2 ? [80] : [],
          unanswered: this.#portProbes % 3 === 1 ? [80] : [],
        };
      case "reject":
        return { kind: "rejected", reason: step.reason };
      case "remove":
        expect(step.containerId).not.toBe("foreign");
        this.containers.delete(step.containerId);
        return { kind: "gone", containerId: step.containerId };
    }
  }

  #runHooks({
    kind,
    containerId,
    processId,
  }: Extract<Step, { kind: "post-start" | "pre-stop" }>): StepOutcome {
    expect(this.containers.get(containerId)?.state).toBe("running");
    return { kind: "hooks-run", phase: kind, containerId, processId, failure: "", durationMs: 1 };
  }

  #set(id: string, fields: Partial<ObservedContainer>): StepOutcome {
    const known = this.containers.get(id);
    if (known === undefined) return { kind: "gone", containerId: id };
    const container = { ...known, ...fields };
    this.containers.set(id, container);
    return { kind: "observed", container };
  }
}

/** The worker's loop without its concurrency: look, decide, do, until there is nothing to do. */
class SimulatedAgent {
  readonly docker = new SimulatedDocker();
  view: TaskView = viewWith({
    image: { state: "unknown", pullBeganAtMs: 0 },
    assignment: {
      task: taskWith(),
      spec: specWith({
        ports: [{ target: 80 }],
        container: { files: [SECRET], mounts: [SHIPPED], postStart: [HOOK], preStop: [HOOK] },
      }),
      receivedAtMs: 1_000,
    },
    files: { ...NO_FILES, contents: new Map([[SECRET.versionId, SECRET_VERSION]]) },
  });
  nowMs = 100_000;
  readonly states: TaskState[] = [];

  settle(luck: () => "fine" | "fails" | "lost"): void {
    for (let steps = 0; steps < MAX_STEPS; steps += 1) {
      this.#look();
      const { status, step, requeueAtMs } = reconcile(this.view, this.nowMs);
      this.view = { ...this.view, status };
      if (status !== undefined) this.states.push(status.state);
      if (step === undefined) {
        // Rest, unless a failed step or a closed port is waiting for its time.
        const { retry, portProbe: portWatch } = this.view.memory;
        const isWaiting = retry !== undefined || portWatch?.isOver === false;
        if (requeueAtMs === undefined || !isWaiting) return;
        this.nowMs = requeueAtMs;
        continue;
      }
      if ((step.kind === "stop" || step.kind === "pre-stop") && step.failure !== "") {
        this.#remember({ failure: step.failure });
      }
      this.docker.isAssigned = this.view.assignment !== undefined;
      const outcome = this.docker.run(step, steps < MAX_STEPS / 2 ? luck() : "fine");
      this.view = {
        ...this.view,
        memory: applyOutcome(this.view.memory, { step, outcome, nowMs: this.nowMs }),
      };
      const alive = this.docker.ours().filter(isAlive);
      expect(alive.filter(({ name }) => name !== "copy").length).toBeLessThanOrEqual(1);
    }
    throw new Error("does not come to rest");
  }

  happen(what: AgentEvent): void {
    const { docker } = this;
    switch (what.kind) {
      case "desire":
        this.#desire(what.desired);
        return;
      case "dies":
        docker.change((container) =>
          isAlive(container) ? { state: "exited", exitCode: what.exitCode } : {},
        );
        return;
      case "restarted-outside":
        docker.change(({ state }) => (state === "exited" ? { state: "running" } : {}));
        return;
      case "removed-outside":
        docker.containers.clear();
        return;
      case "health":
        docker.change(() => ({ health: what.health }));
        return;
      case "copied-outside":
        docker.add({ name: "copy" });
        return;
      case "agent-restarts":
        this.#restart();
        return;
      case "host-reboots":
        docker.hasFiles = false;
        docker.change((container) => (isAlive(container) ? { state: "exited", exitCode: 137 } : {}));
        this.#restart();
        return;
      case "time-passes":
        this.nowMs += what.ms;
        return;
    }
  }

  /** The leader's wishes move forward alone. */
  #desire(desiredState: DesiredState | undefined): void {
    const last = this.view.assignment;
    if (last === undefined || desiredState === undefined) {
      this.view = { ...this.view, assignment: undefined };
    } else if (desiredState > last.task.desiredState) {
      this.view = { ...this.view, assignment: { ...last, task: taskWith({ desiredState }) } };
    }
  }

  #restart(): void {
    const containerId = this.view.status?.containerId ?? "";
    const files = this.docker.hasFiles ? "unverified" : "none";
    const shipped = this.docker.hasCopies ? "unverified" : "none";
    this.view = { ...this.view, memory: { ...BLANK_MEMORY, containerId, files, shipped } };
  }

  #look(): void {
    const containers = this.docker.ours();
    const [first] = containers;
    if (first) this.view = { ...this.view, memory: applyObservation(this.view.memory, first, this.nowMs) };
    this.view = { ...this.view, containers, image: this.docker.image() };
  }

  #remember(fields: Partial<TaskView["memory"]>): void {
    this.view = { ...this.view, memory: { ...this.view.memory, ...fields } };
  }
}

const lucks = fc.infiniteStream(
  fc.constantFrom("fine" as const, "fine" as const, "fails" as const, "lost" as const),
);

test("reconcile converges to the assignment, whatever happens to Docker, the agent and the containers", () => {
  fc.assert(
    fc.property(fc.array(agentEvent, { maxLength: 12 }), lucks, (happenings, luck) => {
      const agent = new SimulatedAgent();
      const nextLuck = (): "fine" | "fails" | "lost" => luck.next().value ?? "fine";
      agent.settle(nextLuck);
      for (const what of happenings) {
        agent.happen(what);
        agent.settle(nextLuck);
      }
      const { assignment, status } = agent.view;
      const ours = agent.docker.ours();
      const desired = assignment?.task.desiredState ?? DesiredState.REMOVE;
      if (ours.length === 0) expect([agent.docker.hasFiles, agent.docker.hasCopies]).toEqual([false, false]);
      if (desired === DesiredState.REMOVE) {
        expect(ours).toEqual([]);
      } else if (desired === DesiredState.SHUTDOWN || isFinal(status)) {
        expect(ours.filter(isAlive)).toEqual([]);
      } else {
        expect(ours).toEqual([expect.objectContaining({ state: "running" })]);
      }
      for (const [index, state] of agent.states.entries()) {
        expect(state).toBeGreaterThanOrEqual(agent.states[index - 1] ?? 0);
      }
    }),
    { numRuns: 300 },
  );
});
