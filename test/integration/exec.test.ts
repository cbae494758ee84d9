import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ServiceSpec } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { temporaryFolder } from "../harness/temporary-folder.js";
import { converged, deployment, TestCluster, type TestServer } from "../harness/test-cluster.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "./agent/specs.js";

const BERTH = fileURLToPath(new URL("../../packages/cli/bin/berth.js", import.meta.url));
const MIB = 1024 * 1024;

interface CommandResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Starts the built CLI. */
function berth(
  server: string,
  args: readonly string[],
): { child: ChildProcess; exited: Promise<CommandResult> } {
  const child = spawn(process.execPath, [BERTH, "--server", server, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  return { child, exited: collectOutput(child) };
}

async function collectOutput(child: ChildProcess): Promise<CommandResult> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (bytes: Buffer) => out.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => err.push(bytes));
  child.stdin?.on("error", () => {});
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
}

describe("berth exec, through a follower, the leader and an agent, on a real Docker daemon", () => {
  let docker: DockerHost;
  let etcd: TestEtcd;
  let cluster: TestCluster;
  let agent: AgentProcess;
  let leader: TestServer;
  let follower: TestServer;
  const dataDir = temporaryFolder();

  beforeAll(async () => {
    [docker, etcd] = await Promise.all([DockerHost.start(), startTestEtcd()]);
    cluster = new TestCluster(etcd.endpoint);
    leader = await cluster.startServer();
    await eventually("the first server leads", async () => (await leader.calls.getCluster({})).epoch > 0);
    follower = await cluster.startServer();
    const servers = [leader.address, follower.address];
    await cluster.admitAgent("n1", dataDir);
    agent = new AgentProcess({ servers, dockerSocket: docker.socket, dataDir });
    const container = { image: IMAGE, command: { values: [...RUN_UNTIL_STOPPED] } };
    const spec = ServiceSpec.fromPartial({ name: "shop_web", stack: "shop", task: { container } });
    const mode = { $case: "replicated", value: { replicas: 2 } } as const;
    await follower.calls.deployStack(deployment([{ ...spec, mode }]));
    await converged(follower.calls, "shop_web");
  });
  afterAll(async () => {
    await agent?.stopWithIngress();
    await cluster?.close();
    await etcd?.close();
    await docker?.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const exec = (...args: string[]) => berth(`unix:${follower.socket}`, ["exec", ...args]);
  const run = (...args: string[]): Promise<CommandResult> => exec(...args).exited;
  /** Returns the command lines of all processes in the container of a slot. */
  const processes = async (slot: number): Promise<string> => {
    const { stdout } = await run(`shop_web.${slot}`, "sh", "-c", "cat /proc/[0-9]*/cmdline");
    return stdout.toString().replaceAll("\0", " ");
  };

  test("forwards stdout, stderr and the exit code", async () => {
    const ended = await run(
      "-e",
      "WHO=you",
      "shop_web.1",
      "sh",
      "-c",
      'echo "for $WHO"; echo err >&2; exit 42',
    );
    expect([ended.code, String(ended.stdout), ended.stderr]).toEqual([42, "for you\n", "err\n"]);
    expect((await run("shop_web.1", "no-such-program")).code).toBe(127);
  });

  test("forwards binary input and its end", async () => {
    const bytes = randomBytes(8 * MIB);
    const { child, exited } = exec("-i", "shop_web.2", "cat");
    child.stdin?.end(bytes);
    const { code, stdout } = await exited;
    expect(code).toBe(0);
    expect(stdout.equals(bytes)).toBe(true);
  });

  test("exits with status 125 when its target is ambiguous or unknown", async () => {
    const several = await run("shop_web", "true");
    expect(several.stderr).toMatch(
      /shop_web has 2 running tasks: choose one of shop_web\.1 \(on .+\), shop_web\.2/,
    );
    expect(several.code).toBe(125);
    expect(await run("unknown", "true")).toMatchObject({ code: 125 });
  });

  test("allocates a terminal whose size follows the caller's", async () => {
    const becomes = (size: string): string =>
      `until [ "$(stty size)" = "${size}" ]; do sleep 0.1; done; echo is ${size}`;
    const inside = `${becomes("33 77")}; ${becomes("44 88")}`;
    const command = `${process.execPath} ${BERTH} --server unix:${follower.socket} exec -it shop_web.1 sh -c`;
    const script = `tty; stty rows 33 cols 77; ${command} '${inside}'`;
    const child = spawn("script", ["-qec", script, "/dev/null"], { stdio: ["pipe", "pipe", "pipe"] });
    const exited = collectOutput(child);
    let seen = "";
    child.stdout.on("data", (bytes) => (seen += bytes));
    await eventually("the terminal has the first size", () => seen.includes("is 33 77"));
    const [terminal = ""] = /\/dev\S+/.exec(seen) ?? [];
    spawn("stty", ["-F", terminal, "rows", "44", "cols", "88"]);
    expect((await exited).stdout.toString()).toMatch(/is 33 77\s+is 44 88/);
  });

  test("closes the input of a command whose caller is killed", async () => {
    const { child } = exec("-i", "shop_web.2", "sh", "-c", "echo ready; cat; : 31337");
    await once(child.stdout ?? child, "data");
    expect(await processes(2)).toContain("31337");
    child.kill("SIGKILL");
    await eventually("the command has ended", async () => !(await processes(2)).includes("31337"));
  });

  test("blocks a command whose output is not read", async () => {
    const everything = 1_000;
    const script = `for i in $(seq 1 ${everything}); do seq 1 20000; echo $i > /progress; done`;
    const { child } = exec("shop_web.2", "sh", "-c", script);
    child.stdout?.pause();
    const progress = async (): Promise<number> =>
      Number((await run("shop_web.2", "cat", "/progress")).stdout);
    let before = -1;
    const stalled = await eventually("the command is blocked", async () => {
      const now = await progress();
      const isStalled = now > 0 && now === before;
      before = now;
      return isStalled && now;
    });
    expect(stalled).toBeLessThan(everything / 2);
    child.kill("SIGKILL");
  });

  test("exits with status 125 when the leader of its command stops", async () => {
    const { child, exited } = exec("-i", "shop_web.1", "sh", "-c", "echo ready; cat");
    await once(child.stdout ?? child, "data");
    await leader.stop();
    const { code, stderr } = await exited;
    expect(stderr).toMatch(/lost connection to the command in task \w+ on .+; it was sent SIGHUP/);
    expect(code).toBe(125);
    await eventually("the follower leads", async () => (await follower.calls.getCluster({})).epoch > 1);
    await eventually(
      "the agent has a session with it",
      async () => (await run("shop_web.1", "true")).code === 0,
    );
  });
});
