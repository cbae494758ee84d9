import { DesiredState, type Service, type Task, TaskState, TaskStatus } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildService, buildTask } from "../testing/records.js";
import { hostRejections } from "./host-rejections.js";

const FIREWALL = "driver failed programming external connectivity on endpoint web";

const rejected = (over: Partial<Task> = {}, message = FIREWALL): Task =>
  buildTask({
    id: "rejected",
    slot: 3,
    nodeId: "n1",
    status: TaskStatus.fromPartial({ state: TaskState.REJECTED, message, sinceMs: 1_000 }),
    ...over,
  });

const running = (id: string, nodeId: string, sinceMs: number, over: Partial<Task> = {}): Task =>
  buildTask({
    id,
    nodeId,
    status: TaskStatus.fromPartial({ state: TaskState.RUNNING, sinceMs, runningSinceMs: sinceMs }),
    ...over,
  });

function problemsOf(
  tasks: readonly Task[],
  service: Service | undefined = buildService(),
): readonly string[] {
  return hostRejections({
    nodeId: "n1",
    tasks: tasks.filter(({ nodeId }) => nodeId === "n1"),
    serviceOf: (id) => (id === service?.id ? service : undefined),
    tasksOf: (id) => tasks.filter(({ serviceId }) => serviceId === id),
  });
}

describe("hostRejections", () => {
  it("names the service, the reason and what to do when another node runs the same template", () => {
    expect(problemsOf([rejected(), running("other", "n2", 500)])).toEqual([
      `cannot start tasks of service shop_web, which other nodes run: ${FIREWALL}; restart Docker, which restores its firewall rules`,
    ]);
  });

  it.each([
    [`${FIREWALL}: Bind for 0.0.0.0:80 failed: port is already allocated`, /; stop the program that uses/],
    ["mkdir /var/lib/docker/x: no space left on device", /; free disk space/],
    ["pulling the image failed: connection refused", /; run berth doctor on this host$/],
  ])("says what to do about %j", (message, advice) => {
    const [problem] = problemsOf([rejected({}, message), running("other", "n2", 500)]);
    expect(problem).toMatch(advice);
  });

  it("blames the version, not the host, while no other node has started it", () => {
    expect(problemsOf([rejected()])).toEqual([]);
    const service = buildService({
      version: 2,
      templateVersion: 2,
      templates: [
        { version: 1, templateVersion: 1 },
        { version: 2, templateVersion: 2 },
      ],
    });
    const older = running("other", "n2", 500, { specVersion: 1 });
    expect(problemsOf([rejected({ specVersion: 2 }), older], service)).toEqual([]);
    expect(problemsOf([rejected({ specVersion: 1 }), older], service)).toHaveLength(1);
  });

  it("a rejection is cleared when a later task starts on the node", () => {
    const other = running("other", "n2", 500);
    expect(problemsOf([rejected(), other, running("earlier", "n1", 900)])).toHaveLength(1);
    expect(problemsOf([rejected(), other, running("later", "n1", 1_100)])).toEqual([]);
  });

  it("reports a service once, and ignores tasks that were to stop and services that are gone", () => {
    const other = running("other", "n2", 500);
    expect(problemsOf([rejected(), rejected({ id: "again", slot: 4 }), other])).toHaveLength(1);
    expect(problemsOf([rejected({ desiredState: DesiredState.SHUTDOWN }), other])).toEqual([]);
    expect(problemsOf([rejected(), other], buildService({ id: "s2" }))).toEqual([]);
  });
});
