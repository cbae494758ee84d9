import { once } from "node:events";
import { rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DesiredState,
  Health,
  IngressEntry,
  PortSpec_Mode,
  PortSpec_Protocol,
  TaskState,
  type TaskStatus,
  VolumeMount,
} from "@berth/proto";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { reserveTcpPort } from "../harness/reserved-ports.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { useAgent } from "./agent/agent-fixture.js";
import { specOf, taskOf } from "./agent/specs.js";

const MIB = 1024 * 1024;

const RESOURCES = ["--resource", "gpu=GPU-1", "--resource", "gpu=GPU-2"];
let metricsAddress = "";
const fixture = useAgent(() => {
  metricsAddress = `127.0.0.1:${reserveTcpPort()}`;
  return ["--metrics", metricsAddress, ...RESOURCES];
});
const waitForState = (taskId: string, state: TaskState): Promise<TaskStatus> =>
  fixture.waitForState(taskId, state);

describe("an agent on a real Docker daemon", () => {
  test("runs an assigned task, publishes its port, stops it and removes it", async () => {
    const { docker, leader } = fixture;
    const spec = specOf({
      ports: [{ target: 8080, protocol: PortSpec_Protocol.TCP, mode: PortSpec_Mode.INGRESS }],
    });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    const running = await waitForState(task.id, TaskState.RUNNING);
    expect(await docker.runningContainers(task.id)).toEqual([running.containerId]);
    const name = await docker.docker("inspect", "--format", "{{.Name}}", running.containerId);
    expect(name).toBe(`/shop_web.1.${task.id}`);
    expect(running.ports).toMatchObject([{ target: 8080, protocol: PortSpec_Protocol.TCP }]);
    expect(await docker.docker("port", running.containerId)).toContain(
      `127.0.0.1:${running.ports[0]?.hostPort}`,
    );

    leader.sendIncrement({ tasks: [{ ...task, desiredState: DesiredState.SHUTDOWN }] });
    expect(await waitForState(task.id, TaskState.SHUTDOWN)).toMatchObject({ exitCode: 0 });
    expect(await docker.docker("ps", "-aq", "--no-trunc")).toBe(running.containerId);

    leader.sendIncrement({ tasks: [{ ...task, desiredState: DesiredState.REMOVE }] });
    await eventually("the agent reports the removal", () => leader.reports.get(task.id)?.removed);
    expect(await docker.docker("ps", "-aq")).toBe("");
    await eventually("the sequence is acknowledged", () => leader.appliedSequence === leader.sequence);
  });

  test("gives each named resource to one task at a time, also after a restart", async () => {
    const { docker, leader } = fixture;
    const spec = specOf({
      task: { reservations: { nanoCpus: 0, memoryBytes: 0, pids: 0, generic: { gpu: 1 } } },
    });
    const variableOf = async ({ containerId }: TaskStatus): Promise<string> => {
      const variables = await docker.docker("exec", containerId, "busybox", "env");
      return variables.split("\n").find((line) => line.startsWith("DOCKER_RESOURCE_")) ?? "";
    };
    const tasks = [taskOf(spec), taskOf(spec)] as const;
    leader.sendComplete([spec], [...tasks]);
    const running = await Promise.all(tasks.map(({ id }) => waitForState(id, TaskState.RUNNING)));
    const variables = await Promise.all(running.map(variableOf));
    expect(variables.toSorted()).toEqual(["DOCKER_RESOURCE_GPU=GPU-1", "DOCKER_RESOURCE_GPU=GPU-2"]);

    await fixture.agent.kill("SIGKILL");
    await fixture.restartAgent(RESOURCES);
    const [first, second] = tasks;
    const third = taskOf(spec);
    leader.sendComplete([spec], [{ ...first, desiredState: DesiredState.SHUTDOWN }, second, third]);
    expect(await variableOf(await waitForState(third.id, TaskState.RUNNING))).toBe(variables[0]);
  });

  test("passes every field of a spec to Docker and removes anonymous volumes with the container", async () => {
    const { docker, leader } = fixture;
    // The policy protects the agent's own directory.
    const directory = temporaryDirectory();
    onTestFinished(() => rm(directory, { recursive: true }));
    const bind = {
      source: `${directory}/created`,
      propagation: "",
      createHostPath: true,
      selinux: "",
      recursive: "",
    };
    const spec = specOf({
      container: {
        env: ["WHERE={{.Node.Hostname}}", "SLOT={{.Task.Slot}}"],
        workingDir: "/tmp",
        user: "1:1",
        labels: { mine: "yes" },
        hostname: "web-{{.Task.Slot}}",
        stopSignal: "SIGTERM",
        capAdd: ["NET_ADMIN"],
        capDrop: ["MKNOD"],
        devices: [{ hostPath: "/dev/null", containerPath: "/dev/nothing", permissions: "rw" }],
        shmSizeBytes: 16 * MIB,
        sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
        ulimits: [{ name: "nofile", soft: 512, hard: 1024 }],
        extraHosts: ["db:10.1.2.3"],
        dns: ["10.9.9.9"],
        dnsSearch: ["example.test"],
        init: true,
        readOnly: true,
        logDriver: { name: "json-file", options: { "max-size": "1m" } },
        securityOpt: ["no-new-privileges"],
        groupAdd: ["7"],
        ipcMode: "private",
        oomScoreAdj: 100,
        cpuShares: 512,
        cpuset: "0",
        healthcheck: {
          test: ["CMD", "true"],
          intervalMs: 500,
          timeoutMs: 1_000,
          startPeriodMs: 0,
          retries: 1,
          startIntervalMs: 0,
        },
        mounts: [
          { kind: { $case: "bind", value: bind }, target: "/bound", readOnly: true },
          { kind: { $case: "volume", value: VolumeMount.create() }, target: "/anonymous", readOnly: false },
          {
            kind: { $case: "tmpfs", value: { sizeBytes: MIB, mode: 0o1777, options: [] } },
            target: "/scratch",
            readOnly: false,
          },
        ],
      },
      task: {
        limits: { nanoCpus: 500_000_000, memoryBytes: 64 * MIB, pids: 50, generic: {} },
        reservations: { nanoCpus: 0, memoryBytes: 32 * MIB, pids: 0, generic: {} },
      },
    });
    const task = taskOf(spec, { slot: 3 });
    leader.sendComplete([spec], [task]);
    const { containerId } = await waitForState(task.id, TaskState.RUNNING);
    const [inspected] = JSON.parse(await docker.docker("inspect", containerId));
    expect(inspected.Config).toMatchObject({
      Env: expect.arrayContaining([`WHERE=${hostname()}`, "SLOT=3"]),
      Hostname: "web-3",
      User: "1:1",
      WorkingDir: "/tmp",
      StopSignal: "SIGTERM",
      StopTimeout: 2,
      Labels: { mine: "yes", "berth.task.id": task.id, "com.docker.stack.namespace": "shop" },
    });
    expect(inspected.HostConfig).toMatchObject({
      RestartPolicy: { Name: "no" },
      NanoCpus: 500_000_000,
      Memory: 64 * MIB,
      MemoryReservation: 32 * MIB,
      PidsLimit: 50,
      CpuShares: 512,
      CpusetCpus: "0",
      ShmSize: 16 * MIB,
      OomScoreAdj: 100,
      ReadonlyRootfs: true,
      Init: true,
      CapDrop: ["MKNOD"],
      Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/nothing", CgroupPermissions: "rw" }],
      Sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
      Ulimits: [{ Name: "nofile", Soft: 512, Hard: 1024 }],
      ExtraHosts: ["db:10.1.2.3"],
      Dns: ["10.9.9.9"],
      DnsSearch: ["example.test"],
      LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
      SecurityOpt: ["no-new-privileges"],
      GroupAdd: ["7"],
      IpcMode: "private",
    });
    expect(inspected.HostConfig.CapAdd.join()).toContain("NET_ADMIN");
    const mounts = inspected.Mounts.map((mount: { Destination: string; RW: boolean }) => [
      mount.Destination,
      mount.RW,
    ]);
    expect(Object.fromEntries(mounts)).toMatchObject({ "/bound": false, "/anonymous": true });

    leader.sendIncrement({ tasks: [{ ...task, desiredState: DesiredState.REMOVE }] });
    await eventually("the agent reports the removal", () => leader.reports.get(task.id)?.removed);
    expect(await docker.docker("volume", "ls", "-q")).toBe("");
  });

  test("reports how a container ended: success, failure or out of memory", async () => {
    const { docker, leader } = fixture;
    const succeeds = specOf({ serviceId: "succeeds", command: ["true"] });
    const fails = specOf({ serviceId: "fails", command: ["sh", "-c", "exit 3"] });
    const exceeds = specOf({
      serviceId: "exceeds",
      command: ["sh", "-c", "x=a; while :; do x=$x$x; done"],
      task: { limits: { nanoCpus: 0, memoryBytes: 8 * MIB, pids: 0, generic: {} } },
    });
    const [success, failure, outOfMemory] = [taskOf(succeeds), taskOf(fails), taskOf(exceeds)];
    leader.sendComplete([succeeds, fails, exceeds], [success, failure, outOfMemory]);
    expect(await waitForState(success.id, TaskState.COMPLETE)).toMatchObject({ exitCode: 0 });
    expect(await waitForState(failure.id, TaskState.FAILED)).toMatchObject({
      exitCode: 3,
      message: "ended with exit code 3",
    });
    const { message, containerId } = await waitForState(outOfMemory.id, TaskState.FAILED);
    // Docker misses the reason when the kernel's OOM event arrives after the exit event.
    const dockerKnows = (await docker.docker("inspect", "-f", "{{.State.OOMKilled}}", containerId)).trim();
    expect(message).toMatch(dockerKnows === "true" ? /memory limit exceeded/ : /exit code 137/);
  });

  test("reports STARTING until the health check passes and UNHEALTHY while it fails", async () => {
    const { docker, leader } = fixture;
    const test = ["CMD-SHELL", "test -e /tmp/ok || { echo no file; exit 1; }"];
    const healthcheck = {
      test,
      intervalMs: 200,
      timeoutMs: 1_000,
      startPeriodMs: 0,
      retries: 2,
      startIntervalMs: 0,
    };
    const spec = specOf({ container: { healthcheck } });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    expect(await waitForState(task.id, TaskState.STARTING)).toMatchObject({ health: Health.STARTING });
    const { containerId } = await eventually("the task is unhealthy", () => {
      const now = fixture.status(task.id);
      return now?.health === Health.UNHEALTHY ? now : undefined;
    });
    await docker.docker("exec", containerId, "sh", "-c", "mkdir -p /tmp; : > /tmp/ok");
    expect(await waitForState(task.id, TaskState.RUNNING)).toMatchObject({ health: Health.HEALTHY });
  });

  test("a task is healthy before the first interval of its health check is over", async () => {
    const { leader } = fixture;
    const test = ["CMD-SHELL", "test -e /tmp/ok"];
    // Docker's first check is after ten minutes.
    const intervalMs = 600_000;
    const healthcheck = {
      test,
      intervalMs,
      timeoutMs: 5_000,
      startPeriodMs: 0,
      retries: 2,
      startIntervalMs: 50,
    };
    const command = ["sh", "-c", "sleep 1; mkdir -p /tmp; : > /tmp/ok; exec sleep 3600"];
    const spec = specOf({ container: { healthcheck }, command });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    expect(await waitForState(task.id, TaskState.RUNNING)).toMatchObject({ health: Health.HEALTHY });
  });

  test("fails a task whose container is stopped or removed outside berth, with that reason", async () => {
    const { docker, leader } = fixture;
    const spec = specOf();
    const [stopped, removed] = [taskOf(spec), taskOf(spec, { slot: 2 })];
    leader.sendComplete([spec], [stopped, removed]);
    const first = await waitForState(stopped.id, TaskState.RUNNING);
    const second = await waitForState(removed.id, TaskState.RUNNING);
    await docker.docker("stop", first.containerId);
    await docker.docker("rm", "-f", second.containerId);
    const reason = /outside berth/;
    expect((await waitForState(stopped.id, TaskState.FAILED)).message).toMatch(reason);
    expect((await waitForState(removed.id, TaskState.FAILED)).message).toMatch(reason);
  });

  test("rejects a task that Docker cannot run, with Docker's error", async () => {
    const { leader } = fixture;
    const noImage = specOf({ serviceId: "a", container: { image: "127.0.0.1:1/nothing:1" } });
    const noProgram = specOf({ serviceId: "b", command: ["no-such-program"] });
    const port = { target: 80, published: 18_080, protocol: PortSpec_Protocol.TCP, mode: PortSpec_Mode.HOST };
    const taken = specOf({ serviceId: "c", ports: [port] });
    const tasks = [taskOf(noImage), taskOf(noProgram), taskOf(taken), taskOf(taken, { slot: 2 })];
    const [a, b, c, d] = tasks.map(({ id }) => id);
    leader.sendComplete([noImage, noProgram, taken], tasks);
    expect((await waitForState(a ?? "", TaskState.REJECTED)).message).toMatch(
      /cannot pull image 127.0.0.1:1\/nothing:1: .*connection refused/,
    );
    expect((await waitForState(b ?? "", TaskState.REJECTED)).message).toMatch(/executable file not found/);
    await eventually("one task has the port and the other is rejected", () => {
      const both = [fixture.status(c ?? ""), fixture.status(d ?? "")];
      const rejected = both.find((one) => one?.state === TaskState.REJECTED);
      return (
        both.some((one) => one?.state === TaskState.RUNNING) &&
        /already allocated/.test(rejected?.message ?? "")
      );
    });
  });

  test("label-spoof-untouched: removes its unassigned containers after a complete set and leaves all others alone", async () => {
    const { docker, leader, agent } = fixture;
    const spec = specOf();
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    const { containerId } = await waitForState(task.id, TaskState.RUNNING);
    const run = ["run", "-d", "--stop-timeout", "1"];
    const program = ["busybox:test", "sleep", "1000"];
    const foreign = await docker.docker(...run, ...program);
    const lookAlike = await docker.docker(...run, "--label", "berth.task.id=gone", ...program);
    // A committed image has all labels of the container, also the one that proves the owner.
    await docker.docker("commit", containerId, "committed:test");
    const committed = await docker.docker(...run, "committed:test");
    await agent.kill("SIGKILL");
    await fixture.restartAgent();
    // Before a complete set, the agent removes nothing, however long it waits.
    await sleep(500);
    expect(await docker.runningContainers(task.id)).toContain(containerId);
    leader.sendComplete([], []);
    await eventually("the unassigned container is removed", async () => {
      const left = await docker.docker("ps", "-aq", "--no-trunc");
      return !left.includes(containerId);
    });
    // Longer than the agent needs to stop another container after the first.
    await sleep(2_000);
    const running = await docker.docker("ps", "-q", "--no-trunc");
    expect(running.split("\n").sort()).toEqual([foreign, lookAlike, committed].sort());
    await docker.removeContainers();
    await docker.docker("rmi", "committed:test");
  });

  test("acknowledges assignments after it serves their published ports and counts connections", async () => {
    const { leader } = fixture;
    const backend = createServer((socket) => socket.end("hello"));
    await once(backend.listen(0, "127.0.0.1"), "listening");
    const published = reserveTcpPort();
    try {
      const endpoints = [{ taskId: "t", nodeId: "n", address: "127.0.0.1", port: portOf(backend) }];
      const entry = {
        key: `tcp//${published}`,
        protocol: PortSpec_Protocol.TCP,
        hostIp: "127.0.0.1",
        published,
        endpoints,
      };
      leader.sendComplete([], [], { ingress: [IngressEntry.fromPartial(entry)] });
      await eventually("the sequence is acknowledged", () => leader.appliedSequence === leader.sequence);
      const [answer] = await once(connect(published, "127.0.0.1"), "data");
      expect(String(answer)).toBe("hello");
      const metrics = async (): Promise<string> => (await fetch(`http://${metricsAddress}/metrics`)).text();
      await expect.poll(metrics).toContain(`{service="",port="127.0.0.1:${published}/tcp"} 1`);
      expect(await metrics()).toContain("berth_ingress_kernel 0");
    } finally {
      backend.close();
    }
  });

  test("streams a followed log to the leader line by line and refuses an unknown task", async () => {
    const { leader } = fixture;
    const spec = specOf({ command: ["sh", "-c", "echo one; echo two >&2; sleep 1000"] });
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await waitForState(task.id, TaskState.RUNNING);
    const request = { requestId: "r1", taskId: task.id, follow: true, tail: -1, sinceMs: 0, untilMs: 0 };
    leader.send({ $case: "startLogs", value: request });
    const lines = await eventually("both lines arrive", () => {
      const entries = leader.logs.flatMap((push) => push.entries);
      return entries.length === 2 && entries;
    });
    expect(lines.map(({ line }) => line.toString()).sort()).toEqual(["one", "two"]);
    for (const { timeNs } of lines) expect(Math.abs(Number(timeNs) / 1e6 - Date.now())).toBeLessThan(60_000);
    leader.send({ $case: "startLogs", value: { ...request, requestId: "r2", taskId: "unknown" } });
    await eventually("the second request is refused", () =>
      leader.logs.some(({ error }) => /no container/.test(error)),
    );
  });
});

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
