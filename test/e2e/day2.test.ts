import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliCommand } from "../../deploy/lab/berth-commands.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import { docker } from "./support/tasks.js";

const BUSYBOX = "/usr/bin/busybox";

/** `web` prints its hostname five times a second; `huge` cannot be placed. */
const COMPOSE = `
services:
  web:
    image: hello:1
    stop_grace_period: 1s
    command: ["${BUSYBOX}", "sh", "-c", "trap 'exit 0' TERM; while :; do ${BUSYBOX} hostname; ${BUSYBOX} sleep 0.2; done"]
    deploy: { replicas: 2 }
  huge:
    image: hello:1
    deploy: { replicas: 1, resources: { reservations: { memory: 900000g } } }
`;

interface Event {
  readonly reason: string;
  readonly message: string;
  readonly serviceName: string;
  readonly nodeHostname: string;
}

interface Loads {
  readonly nodes: readonly { readonly hostname: string; readonly cpuPercent: number | null }[];
  readonly tasks: readonly {
    readonly service: string;
    readonly cpuPercent: number;
    readonly memoryBytes: number;
  }[];
}

describe("day-two operations on two hosts", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createCluster(2);
    await deploy(lab, "shop", COMPOSE, "--detach");
    await waitForReplicas(lab, "shop_web", 2);
  });
  afterAll(() => lab?.down());

  /** Starts the CLI as a process that tests can write to and kill. */
  const start = (...args: string[]): ChildProcess => {
    const [program = "", ...programArgs] = cliCommand(args);
    return spawn(program, programArgs, { env: lab.cliEnv(), stdio: ["pipe", "pipe", "inherit"] });
  };
  const outputOf = async (child: ChildProcess): Promise<{ code: number; stdout: string }> => {
    let stdout = "";
    child.stdout?.on("data", (bytes) => (stdout += bytes));
    const [code] = (await once(child, "close")) as [number];
    return { code, stdout };
  };
  const processesOf = async (slot: number): Promise<string> => {
    const container = (await listRunning(lab, "shop_web")).find((one) => one.slot === String(slot));
    return container === undefined ? "" : docker(lab.host(container.host), "top", container.id);
  };
  const shell = (script: string): string[] => [BUSYBOX, "sh", "-c", script];

  test("exec runs in a task on any host and passes the exit code, input and terminal size", async () => {
    for (const slot of [1, 2]) {
      const child = start("exec", "-i", `shop_web.${slot}`, ...shell(`${BUSYBOX} cat; exit 3${slot}`));
      child.stdin?.end(`for ${slot}`);
      expect(await outputOf(child)).toEqual({ code: 30 + slot, stdout: `for ${slot}` });
    }
    const exec = cliCommand(["exec", "-it", "shop_web.1", BUSYBOX, "sh", "-c"]).join(" ");
    const inside = `${BUSYBOX} sleep 0.5; ${BUSYBOX} stty size`;
    const env = lab.cliEnv();
    const terminal = spawn("script", ["-qec", `stty rows 33 cols 77; ${exec} '${inside}'`, "/dev/null"], {
      env,
    });
    expect((await outputOf(terminal)).stdout).toContain("33 77");
  });

  test("exec forwards signals and ends the command when its client is killed", async () => {
    const trapped = start(
      "exec",
      "shop_web.1",
      ...shell("trap 'exit 9' INT; echo ready; while :; do :; done"),
    );
    await once(trapped.stdout ?? trapped, "data");
    trapped.kill("SIGINT");
    expect((await outputOf(trapped)).code).toBe(9);

    const endless = start("exec", "shop_web.2", ...shell("while :; do echo $((31337)); done"));
    await once(endless.stdout ?? endless, "data");
    expect(await processesOf(2)).toContain("31337");
    endless.kill("SIGKILL");
    await waitUntil(async () => !(await processesOf(2)).includes("31337"), {
      what: "the command of a killed client to end",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
  });

  test("top lists the usage of hosts and tasks with the busiest task first", async () => {
    await lab.berth(["exec", "-d", "shop_web.1", ...shell("while :; do :; done")]);
    let loads: Loads = { nodes: [], tasks: [] };
    await waitUntil(
      async () => {
        loads = JSON.parse((await lab.berth(["top", "--once", "-o", "json"])).stdout) as Loads;
        const { nodes, tasks } = loads;
        return (
          (tasks[0]?.cpuPercent ?? 0) > 5 &&
          tasks.length === 2 &&
          tasks.every(({ memoryBytes }) => memoryBytes > 0) &&
          nodes.every(({ cpuPercent }) => (cpuPercent ?? 0) > 0)
        );
      },
      { what: "the usage of both hosts and tasks, with a busy task", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    expect(loads.tasks[0]).toMatchObject({ service: "shop_web" });
  });

  test("events report placements, failures and the reasons of unplaceable tasks", async () => {
    const [web] = await listRunning(lab, "shop_web");
    await docker(lab.host(web?.host ?? ""), "kill", web?.id ?? "");
    const events = async (): Promise<readonly Event[]> => {
      const { stdout } = await lab.berth(["events", "--stack", "shop", "-o", "json"]);
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Event);
    };
    let reported: readonly Event[] = [];
    await waitUntil(
      async () => {
        reported = await events();
        return reported.filter(({ reason }) => reason === "TASK_STARTED").length >= 3;
      },
      { what: "a third start", timeoutMs: CONVERGE_TIMEOUT_MS },
    );
    const of = (reason: string): readonly Event[] => reported.filter((event) => event.reason === reason);
    expect(new Set(of("TASK_PLACED").map(({ nodeHostname }) => nodeHostname)).size).toBe(2);
    expect(of("TASK_UNPLACEABLE")).toMatchObject([
      { serviceName: "shop_huge", message: expect.stringMatching(/^2 nodes lack .* memory/) },
    ]);
    expect(of("TASK_FAILED")).toMatchObject([{ nodeHostname: web?.host }]);
    expect(of("SERVICE_CREATED")).toHaveLength(2);
  });

  test("logs are merged by time and contain one warning for a dead host", async () => {
    await waitForReplicas(lab, "shop_web", 2);
    const logs = (...args: string[]) => lab.berth(["logs", "-t", "--raw", ...args, "shop_web"]);
    const { stdout } = await logs();
    const lines = stdout.trimEnd().split("\n");
    const times = lines.map((line) => line.split(" ")[0] ?? "");
    expect(times).toEqual([...times].sort());
    expect(new Set(lines.map((line) => line.split(" ")[1])).size).toBeGreaterThan(2);

    await lab.host("h2").kill();
    const partial = await logs("--tail", "5");
    expect(partial.code).toBe(0);
    expect(partial.stdout.trimEnd().split("\n").length).toBeGreaterThanOrEqual(5);
    await waitForReplicas(lab, "shop_web", 2);
    const after = await logs("--tail", "5");
    expect(after.stderr.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^warning: cannot read logs on h2: /),
    ]);
  });
});
