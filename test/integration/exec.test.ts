import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ServiceSpec } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { converged, deployment, eventually, TestCluster, type TestServer } from "../harness/control-plane.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { temporaryFolder } from "../harness/temporary-folder.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "./agent/specs.js";

const BERTH = fileURLToPath(new URL("../../packages/cli/bin/berth.js", import.meta.url));
const MIB = 1024 * 1024;

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The command line as people start it, with input if there is some. */
function berth(server: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [BERTH, "--server", server, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  return { child, ended: collected(child) };
}

async function collected(child: ChildProcess): Promise<Ended> {
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
  let follower: TestServer;
  const dataDir = temporaryFolder();

  beforeAll(async () => {
    [docker, etcd] = await Promise.all([DockerHost.start(), startTestEtcd()]);
    cluster = new TestCluster(etcd.endpoint);
    const leader = await cluster.startServer();
    await eventually("a leader", async () => (await leader.calls.getCluster({})).epoch > 0);
    follower = await cluster.startServer();
    const servers = [leader.address, follower.address];
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

  const exec = (...args: string[]) => berth(follower.address, ["exec", ...args]);
  const run = (...args: string[]): Promise<Ended> => exec(...args).ended;
  /** The command lines of all that runs in a slot's container. */
  const processes = async (slot: number): Promise<string> => {
    const { stdout } = await run(`shop_web.${slot}`, "sh", "-c", "cat /proc/[0-9]*/cmdline");
    return stdout.toString().replaceAll("\0", " ");
  };

  test("keeps outputs apart and the exit code", async () => {
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

  test("passes input of any bytes through, and its end", async () => {
    const bytes = randomBytes(8 * MIB);
    const { child, ended } = exec("-i", "shop_web.2", "cat");
    child.stdin?.end(bytes);
    const { code, stdout } = await ended;
    expect(code).toBe(0);
    expect(stdout.equals(bytes)).toBe(true);
  });

  test("names what is wrong with its target, and exits with 125", async () => {
    const several = await run("shop_web", "true");
    expect(several.stderr).toMatch(
      /2 tasks of shop_web run\. Choose one: shop_web\.1 \(on .+\), shop_web\.2/,
    );
    expect(several.code).toBe(125);
    expect(await run("nobody", "true")).toMatchObject({ code: 125 });
  });

  test("gives a terminal of the caller's size, which follows it", async () => {
    const words = `stty rows 33 cols 77; ${process.execPath} ${BERTH} --server ${follower.address} exec -it shop_web.1 sh -c 'sleep 0.5; stty size; tty -s && echo terminal'`;
    const child = spawn("script", ["-qec", words, "/dev/null"], { stdio: ["pipe", "pipe", "pipe"] });
    const { stdout } = await collected(child);
    expect(stdout.toString()).toContain("33 77");
  });

  test("ends the input of a command whose caller is killed", async () => {
    const { child } = exec("-i", "shop_web.2", "sh", "-c", "echo ready; cat; : 31337");
    await once(child.stdout ?? child, "data");
    expect(await processes(2)).toContain("31337");
    child.kill("SIGKILL");
    await eventually("the command has ended", async () => !(await processes(2)).includes("31337"));
  });

  test("holds a command back whose output nobody reads", async () => {
    const { child } = exec("shop_web.2", "sh", "-c", "seq 1 100000000; echo > /tmp/all-of-it");
    await once(child, "spawn");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    child.stdout?.destroy();
    const { code } = await run("shop_web.2", "sh", "-c", "test -e /tmp/all-of-it");
    expect(code).toBe(1);
    child.kill("SIGKILL");
  });
});
