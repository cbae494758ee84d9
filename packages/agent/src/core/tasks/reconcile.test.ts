import {
  DesiredState,
  Health,
  Mount,
  NetworkMode,
  PortSpec_Protocol,
  PullPolicy,
  TaskState,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import { type Reconciled, reconcile, UNHEALTHY_GRACE_MS } from "./reconcile.js";
import { applyObservation, BLANK_MEMORY, type TaskMemory } from "./task-memory.js";
import type { Assignment } from "./task-view.js";
import { containerWith, NODE, specWith, taskWith, viewWith } from "./testing.js";

const NOW_MS = 100_000;

function assignmentWith(desiredState: DesiredState, spec = specWith()): Assignment {
  return { task: taskWith({ desiredState }), spec, receivedAtMs: 1_000 };
}
const memoryWith = (fields: Partial<TaskMemory>): TaskMemory => ({ ...BLANK_MEMORY, ...fields });
const stepKind = ({ step }: Reconciled): string | undefined => step?.kind;

describe("reconcile before the task runs", () => {
  test("checks the image, pulls it if it is missing, creates and starts the container", () => {
    const unknown = reconcile(viewWith({ image: { state: "unknown", pullBeganAtMs: 0 } }), NOW_MS);
    expect(unknown).toMatchObject({ step: { kind: "check-image", image: "web:1" }, status: undefined });
    const absent = reconcile(viewWith({ image: { state: "absent", pullBeganAtMs: 0 } }), NOW_MS);
    expect(absent).toMatchObject({
      step: { kind: "pull", image: "web:1" },
      status: { state: TaskState.PREPARING, message: "pulling image web:1" },
    });
    expect(reconcile(viewWith(), NOW_MS)).toMatchObject({ step: { kind: "create", taskId: "task1" } });
    const created = viewWith({ containers: [containerWith({ state: "created" })] });
    expect(reconcile(created, NOW_MS)).toMatchObject({ step: { kind: "start", containerId: "c1" } });
    const running = reconcile(viewWith({ containers: [containerWith()] }), NOW_MS);
    expect(running).toMatchObject({ status: { state: TaskState.RUNNING, containerId: "c1" } });
    expect(running.step).toBeUndefined();
  });

  test("starts a container that waits for a client once it has attached, and gives up after 30 s", () => {
    const assignment = assignmentWith(
      DesiredState.RUNNING,
      specWith({ container: { image: "web:1", waitForAttach: true } }),
    );
    const containers = [containerWith({ state: "created" })];
    const memory = memoryWith({ createdAtMs: NOW_MS });
    const at = (nowMs: number, isAttached = false) =>
      reconcile(viewWith({ assignment, containers, memory: { ...memory, isAttached } }), nowMs);
    expect(at(NOW_MS)).toMatchObject({ requeueAtMs: NOW_MS + 30_000 });
    expect(at(NOW_MS).step).toBeUndefined();
    expect(at(NOW_MS, true)).toMatchObject({ step: { kind: "start" } });
    expect(at(NOW_MS + 30_000)).toMatchObject({
      step: { kind: "reject", reason: "no client attached to it within 30 s" },
    });
  });

  test("pulls and runs the digest of a resolved tag, and shows the tag meanwhile", () => {
    const imageDigest = `sha256:${"a".repeat(64)}`;
    const spec = specWith({ container: { image: "web:1", imageDigest } });
    const assignment = assignmentWith(DesiredState.RUNNING, spec);
    const absent = { state: "absent", pullBeganAtMs: 0 } as const;
    expect(reconcile(viewWith({ assignment, image: absent }), NOW_MS)).toMatchObject({
      step: { kind: "pull", image: `web:1@${imageDigest}` },
      status: { message: "pulling image web:1" },
    });
    expect(reconcile(viewWith({ assignment }), NOW_MS)).toMatchObject({
      step: { kind: "create", config: { body: { Image: `web:1@${imageDigest}` } } },
    });
  });

  test("pull policy always pulls once for tasks that arrive together, and never rejects a missing image", () => {
    const always = assignmentWith(
      DesiredState.RUNNING,
      specWith({ container: { pullPolicy: PullPolicy.ALWAYS } }),
    );
    const image = { state: "present", pullBeganAtMs: 0 } as const;
    expect(stepKind(reconcile(viewWith({ assignment: always, image }), NOW_MS))).toBe("pull");
    const pulled = { ...image, pullBeganAtMs: 1_001 };
    expect(stepKind(reconcile(viewWith({ assignment: always, image: pulled }), NOW_MS))).toBe("create");

    const never = assignmentWith(
      DesiredState.RUNNING,
      specWith({ container: { pullPolicy: PullPolicy.NEVER } }),
    );
    const absent = { state: "absent", pullBeganAtMs: 0 } as const;
    const rejected = reconcile(viewWith({ assignment: never, image: absent }), NOW_MS);
    expect(rejected.status).toMatchObject({
      state: TaskState.REJECTED,
      message: expect.stringContaining("never"),
    });
    expect(rejected.step).toBeUndefined();
  });

  test("keeps the container of an unreadable spec running, and starts none", () => {
    const spec = { ...specWith(), task: undefined, ports: [] };
    const assignment = assignmentWith(DesiredState.RUNNING, spec);
    const ports = [{ protocol: PortSpec_Protocol.TCP, target: 80, hostPort: 80 }];
    const known = reconcile(viewWith({ containers: [containerWith()] }), NOW_MS).status;
    const status = known && { ...known, ports };
    const running = reconcile(viewWith({ assignment, status, containers: [containerWith()] }), NOW_MS);
    expect(running).toEqual({ status });
    const absent = reconcile(viewWith({ assignment }), NOW_MS);
    expect(absent.step).toBeUndefined();
    expect(absent.status).toMatchObject({
      state: TaskState.REJECTED,
      message: expect.stringMatching(/version 3 of the service is unreadable in the store/),
    });
    const unwanted = assignmentWith(DesiredState.SHUTDOWN, spec);
    const stopping = reconcile(viewWith({ assignment: unwanted, containers: [containerWith()] }), NOW_MS);
    expect(stepKind(stopping)).toBe("stop");
  });

  test("rejects fields that the daemon would ignore without an error", () => {
    const spec = specWith({ container: { annotations: { a: "b" } } });
    const { status } = reconcile(
      viewWith({ assignment: assignmentWith(DesiredState.RUNNING, spec) }),
      NOW_MS,
    );
    expect(status?.state).toBe(TaskState.REJECTED);
    expect(status?.message).toBe(
      "annotations requires Docker API 1.43; Docker on this node supports API 1.41",
    );
  });

  test("rejects an SELinux label that Docker would ignore because of a colon in the path", () => {
    const kind = { $case: "bind", value: { source: "/a:b", selinux: "z" } } as const;
    const spec = specWith({ container: { mounts: [Mount.fromPartial({ target: "/srv", kind })] } });
    const { status } = reconcile(
      viewWith({ assignment: assignmentWith(DesiredState.RUNNING, spec) }),
      NOW_MS,
    );
    expect(status?.state).toBe(TaskState.REJECTED);
    expect(status?.message).toContain("mount /srv: Docker cannot label a mount with a colon");
  });

  test("a failed step is retried after its delay, and the status says why", () => {
    const retry = { step: "create", attempts: 1, notBeforeMs: NOW_MS + 500, reason: "no space" } as const;
    expect(reconcile(viewWith({ memory: memoryWith({ retry }) }), NOW_MS)).toEqual({
      requeueAtMs: NOW_MS + 500,
      status: expect.objectContaining({ state: TaskState.PREPARING, message: "retrying: no space" }),
    });
  });

  test("a task on the host's own network has the target ports as its host ports", () => {
    const spec = specWith({
      container: { networkMode: NetworkMode.HOST },
      ports: [{ target: 80, protocol: 1 }],
    });
    const assignment = assignmentWith(DesiredState.RUNNING, spec);
    const { status } = reconcile(viewWith({ assignment, containers: [containerWith()] }), NOW_MS);
    expect(status?.ports).toEqual([{ protocol: 1, target: 80, hostPort: 80 }]);
  });

  test("ports on the advertised address come first", () => {
    const ports = [
      { protocol: 1, target: 80, hostPort: 8080, hostIp: "0.0.0.0" },
      { protocol: 1, target: 80, hostPort: 8080, hostIp: "::" },
      { protocol: 1, target: 80, hostPort: 32768, hostIp: NODE.advertiseAddress },
    ] as const;
    const { status } = reconcile(viewWith({ containers: [containerWith({ ports })] }), NOW_MS);
    expect(status?.ports.map(({ hostPort }) => hostPort)).toEqual([32768, 8080]);
  });
});

describe("reconcile with a healthcheck", () => {
  test("a task is starting until it is healthy, and running from then on whatever its health", () => {
    const starting = viewWith({ containers: [containerWith({ health: "starting" })] });
    const first = reconcile(starting, NOW_MS).status;
    expect(first).toMatchObject({ state: TaskState.STARTING, health: Health.STARTING });
    const healthy = { ...starting, status: first, containers: [containerWith({ health: "healthy" })] };
    const second = reconcile(healthy, NOW_MS).status;
    expect(second).toMatchObject({ state: TaskState.RUNNING, health: Health.HEALTHY });
    const ill = {
      ...starting,
      status: second,
      containers: [containerWith({ health: "unhealthy", healthOutput: "503" })],
    };
    expect(reconcile(ill, NOW_MS).status).toMatchObject({
      state: TaskState.RUNNING,
      health: Health.UNHEALTHY,
      message: "unhealthy: 503",
    });
  });

  test("stops a task that stays unhealthy, and fails it with that reason", () => {
    const container = containerWith({ health: "unhealthy", healthOutput: "503" });
    const memory = memoryWith({ containerId: "c1", unhealthySinceMs: NOW_MS });
    const view = viewWith({ containers: [container], memory });
    expect(reconcile(view, NOW_MS + 1).requeueAtMs).toBe(NOW_MS + UNHEALTHY_GRACE_MS);
    const { step } = reconcile(view, NOW_MS + UNHEALTHY_GRACE_MS);
    expect(step).toMatchObject({ kind: "stop", failure: "stayed unhealthy: 503 for 30 s" });
    const failure = step?.kind === "stop" ? step.failure : "";
    const ended = {
      ...view,
      memory: { ...memory, failure },
      containers: [containerWith({ state: "exited" })],
    };
    expect(reconcile(ended, NOW_MS).status).toMatchObject({ state: TaskState.FAILED, message: failure });
  });
});

describe("reconcile of a task that should not run", () => {
  test("shutdown stops and keeps the container, remove removes it and reports it gone", () => {
    const stop = assignmentWith(DesiredState.SHUTDOWN);
    const running = viewWith({ assignment: stop, containers: [containerWith()] });
    expect(reconcile(running, NOW_MS).step).toMatchObject({ kind: "stop", graceMs: 10_000, failure: "" });
    const ended = reconcile(
      { ...running, containers: [containerWith({ state: "exited", exitCode: 143 })] },
      NOW_MS,
    );
    expect(ended).toEqual({ status: expect.objectContaining({ state: TaskState.SHUTDOWN, exitCode: 143 }) });

    const remove = assignmentWith(DesiredState.REMOVE);
    expect(stepKind(reconcile({ ...running, assignment: remove }, NOW_MS))).toBe("stop");
    const stopped = viewWith({ assignment: remove, containers: [containerWith({ state: "exited" })] });
    expect(stepKind(reconcile(stopped, NOW_MS))).toBe("remove");
    expect(reconcile(viewWith({ assignment: remove }), NOW_MS).isGone).toBe(true);
  });

  test("a task that never started is shut down at once", () => {
    const { status, step } = reconcile(
      viewWith({ assignment: assignmentWith(DesiredState.SHUTDOWN) }),
      NOW_MS,
    );
    expect(status).toMatchObject({ state: TaskState.SHUTDOWN, message: "stopped before it started" });
    expect(step).toBeUndefined();
  });

  test("an unassigned task is stopped, removed and forgotten", () => {
    const running = viewWith({ assignment: undefined, containers: [containerWith()] });
    expect(stepKind(reconcile(running, NOW_MS))).toBe("stop");
    const stopped = { ...running, containers: [containerWith({ state: "exited" })] };
    expect(stepKind(reconcile(stopped, NOW_MS))).toBe("remove");
    expect(reconcile({ ...running, containers: [] }, NOW_MS)).toMatchObject({ isGone: true });
  });

  test("removes the container with the wrong name when two have the task's label", () => {
    const copy = containerWith({ id: "c2", name: "copy" });
    const view = viewWith({ containers: [copy, containerWith()] });
    expect(reconcile(view, NOW_MS).step).toMatchObject({ kind: "stop", containerId: "c2" });
  });
});

describe("reconcile after a container has ended", () => {
  const endedWith = (
    container: Parameters<typeof containerWith>[0],
    memory: Partial<TaskMemory> = {},
  ): Reconciled =>
    reconcile(
      viewWith({
        containers: [containerWith({ state: "exited", ...container })],
        memory: memoryWith({ containerId: "c1", ...memory }),
      }),
      NOW_MS,
    );

  test("reports the reason and keeps the container for its log", () => {
    expect(endedWith({ exitCode: 0 })).toEqual({
      status: expect.objectContaining({ state: TaskState.COMPLETE, exitCode: 0 }),
    });
    const failed = { state: TaskState.FAILED, stoppedExternally: false };
    expect(endedWith({ exitCode: 3 }).status).toMatchObject({ ...failed, message: "ended with exit code 3" });
    expect(endedWith({ exitCode: 137 }).status?.message).toBe("ended with exit code 137 (signal 9)");
    expect(endedWith({ exitCode: 137, outOfMemory: true }).status?.message).toContain("memory limit");
    const outside = endedWith({ exitCode: 0 }, { externalSignal: "15" });
    const notItsOwn = { state: TaskState.FAILED, stoppedExternally: true };
    expect(outside.status).toMatchObject({ ...notItsOwn, message: expect.stringContaining("signal 15") });
    const unseen = endedWith({ exitCode: 0 }, { wasUnobserved: true });
    expect(unseen.status).toMatchObject({
      ...notItsOwn,
      message: "ended with exit code 0 while Docker was unavailable",
    });
    expect(endedWith({ exitCode: 137 }, { wasUnobserved: true }).status).toMatchObject(notItsOwn);
  });

  test("a container whose process has ended counts as unhealthy until Docker reports how it ended", () => {
    const container = containerWith({ processId: 7 });
    const memory = applyObservation(memoryWith({ endedProcessId: 7 }), container, NOW_MS);
    expect(reconcile(viewWith({ containers: [container], memory }), NOW_MS)).toEqual({
      status: expect.objectContaining({ state: TaskState.RUNNING, health: Health.UNHEALTHY }),
    });
    const startedAgain = containerWith({ processId: 8 });
    const exited = containerWith({ processId: 0, state: "exited" });
    for (const next of [startedAgain, exited]) {
      expect(applyObservation(memory, next, NOW_MS).endedProcessId).toBe(0);
    }
  });

  test("a container that vanished fails its task; a final status never changes", () => {
    const gone = viewWith({ memory: memoryWith({ containerId: "c1" }) });
    const { status } = reconcile(gone, NOW_MS);
    expect(status).toMatchObject({ state: TaskState.FAILED, containerId: "c1", stoppedExternally: true });
    const revived = { ...gone, status, containers: [containerWith()] };
    expect(reconcile(revived, NOW_MS)).toMatchObject({ status, step: { kind: "stop" } });
  });
});
