import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ServiceSpec } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BERTH_PATH } from "../../deploy/lab/berth-commands.js";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, TestCluster, type TestServer } from "../harness/test-cluster.js";
import { WebClient } from "../harness/web-client.js";
import { AgentProcess } from "./agent/agent-process.js";
import { DockerHost } from "./agent/docker-host.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "./agent/specs.js";

const MIB = 1024 * 1024;

interface CommandResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A response of Exec as JSON. */
interface WebExecMessage {
  readonly output: { readonly stdout?: string; readonly exited?: unknown };
}

interface StartedCommand {
  readonly child: ChildProcess;
  readonly exited: Promise<CommandResult>;
}

/** Starts the built CLI. */
function berth(server: string, args: readonly string[]): StartedCommand {
  return start(process.execPath, [BERTH_PATH, "--server", server, ...args]);
}

function start(program: string, args: readonly string[]): StartedCommand {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
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

describe("streams to containers, through a follower, the leader and an agent, on a real Docker daemon", () => {
  let docker: DockerHost;
  let etcd: TestEtcd;
  let cluster: TestCluster;
  let agent: AgentProcess;
  let leader: TestServer;
  let follower: TestServer;
  const dataDir = temporaryDirectory();

  beforeAll(async () => {
    [docker, etcd] = await Promise.all([DockerHost.start(), startTestEtcd()]);
    cluster = new TestCluster(etcd.endpoint);
    leader = await cluster.startServer();
    await eventually("the first server leads", async () => (await leader.calls.getCluster({})).epoch > 0);
    follower = await cluster.startServer(undefined, { web: "127.0.0.1:0" });
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

  const command = (...args: string[]) => berth(`unix:${follower.socket}`, args);
  const exec = (...args: string[]) => command("exec", ...args);
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

  test("forwards input and output of a browser over a WebSocket", async () => {
    const browser = new WebClient(follower.webUrl);
    await browser.login((await follower.calls.createLogin({ readOnly: false })).code);
    const socket = browser.socket("/api/Exec");
    const messages: WebExecMessage[] = [];
    socket.on("message", (data) => messages.push(JSON.parse(String(data))));
    await once(socket, "open");
    const command = { command: ["sh", "-c", 'read line; echo "got $line"; exit 3'], stdin: true };
    socket.send(JSON.stringify({ start: { target: "shop_web.1", command } }));
    socket.send(JSON.stringify({ input: { stdin: Buffer.from("hello\n").toString("base64") } }));
    const [closeCode] = await once(socket, "close");
    expect(closeCode).toBe(1_000);
    const stdout = messages
      .map(({ output }) => Buffer.from(output.stdout ?? "", "base64").toString())
      .join("");
    expect(stdout).toBe("got hello\n");
    expect(messages.at(-1)?.output.exited).toEqual({ exitCode: 3 });
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
      /shop_web has 2 running tasks; choose one of shop_web\.1 \(on .+\), shop_web\.2/,
    );
    expect(several.code).toBe(125);
    expect(await run("unknown", "true")).toMatchObject({ code: 125 });
  });

  test("allocates a terminal whose size follows the caller's", async () => {
    const becomes = (size: string): string =>
      `until [ "$(stty size)" = "${size}" ]; do sleep 0.1; done; echo is ${size}`;
    const inside = `${becomes("33 77")}; ${becomes("44 88")}`;
    const command = `${process.execPath} ${BERTH_PATH} --server unix:${follower.socket} exec -it shop_web.1 sh -c`;
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

  test("ends like docker exec when the reader of its output has exited", async () => {
    const { tasks } = await follower.calls.listTasks({ service: "shop_web", stack: "", node: "" });
    const containerId = tasks.find(({ slot }) => slot === 1)?.status?.containerId ?? "";
    const commands = [
      `${process.execPath} ${BERTH_PATH} --server unix:${follower.socket} exec shop_web.1`,
      `docker -H unix://${docker.socket} exec ${containerId}`,
    ];
    const endless = "sh -c 'while :; do echo y; done'";
    const results = await Promise.all(
      commands.map(
        (each) => start("bash", ["-c", `${each} ${endless} | head -n 1; exit \${PIPESTATUS[0]}`]).exited,
      ),
    );
    expect(results.map(({ code, stdout }) => [code, String(stdout)])).toEqual([
      [141, "y\n"],
      [141, "y\n"],
    ]);
  });

  describe("berth run, beside docker run", () => {
    const runTask = (...args: string[]) => command("run", "--rm", ...args);
    const dockerRun = (...args: string[]) =>
      start("docker", ["-H", `unix://${docker.socket}`, "run", "--rm", ...args]);
    /** Runs the same container with berth and with Docker. */
    const both = async (...args: string[]) =>
      Promise.all([runTask(...args).exited, dockerRun(...args).exited]);

    test.each([
      ["a command that fails", ["sh", "-c", "echo out; echo err >&2; exit 42"], 42],
      ["a program that does not exist", ["no-such-program"], 127],
      ["a file that cannot be executed", ["/etc"], 126],
      ["a command that is killed", ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137],
    ])("exits like docker run for %s", async (_, words, code) => {
      const [ours, docker] = await both(IMAGE, ...words);
      expect([ours.code, docker.code, String(ours.stdout)]).toEqual([code, code, String(docker.stdout)]);
      if (code === 42) expect(ours.stderr).toBe(docker.stderr);
      else if (code !== 137) expect(ours.stderr).toMatch(/did not start: /);
    });

    test("loses no output, however early it is written, and leaves nothing", async () => {
      const outputs = await Promise.all(
        Array.from({ length: 5 }, () => runTask(IMAGE, "seq", "1", "5000").exited),
      );
      const expected = Array.from({ length: 5_000 }, (_, index) => `${index + 1}\n`).join("");
      expect(outputs.map(({ stdout }) => String(stdout) === expected)).toEqual(Array(5).fill(true));
      await eventually("the services are gone", async () => {
        const { services } = await follower.calls.listServices({ stack: "" });
        return services.every(({ service }) => service?.spec?.name === "shop_web");
      });
      expect(await docker.docker("ps", "-aq", "--filter", "name=busybox")).toBe("");
    });

    test("passes standard input through a pipe", async () => {
      const bytes = randomBytes(4 * MIB);
      const { child, exited } = runTask("-i", IMAGE, "cat");
      child.stdin?.end(bytes);
      const { code, stdout } = await exited;
      expect([code, stdout.equals(bytes)]).toEqual([0, true]);
    });

    test("forwards Ctrl-C to the container, and exits with its code", async () => {
      const script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done";
      const runs = [runTask(IMAGE, "sh", "-c", script), dockerRun(IMAGE, "sh", "-c", script)];
      const results = await Promise.all(
        runs.map(async ({ child, exited }) => {
          await once(child.stdout ?? child, "data");
          child.kill("SIGINT");
          return exited;
        }),
      );
      expect(results.map(({ code }) => code)).toEqual([3, 3]);
    });

    test("gives the container the size of the terminal", async () => {
      const line = `${process.execPath} ${BERTH_PATH} --server unix:${follower.socket} run --rm -it ${IMAGE} sh -c`;
      const inside = 'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; echo is 33 77';
      const script = `stty rows 33 cols 77; ${line} '${inside}'`;
      const child = spawn("script", ["-qec", script, "/dev/null"], { stdio: ["pipe", "pipe", "pipe"] });
      expect((await collectOutput(child)).stdout.toString()).toMatch(/is 33 77/);
    });

    test("ends the container of a client that is killed when its input ends, and removes it", async () => {
      const { child } = runTask("-i", "--name", "orphan", IMAGE, "sh", "-c", "echo ready; cat");
      await once(child.stdout ?? child, "data");
      child.kill("SIGKILL");
      await eventually("the service is gone", async () => {
        const { services } = await follower.calls.listServices({ stack: "" });
        return services.every(({ service }) => service?.spec?.name !== "orphan");
      });
    });

    test("runs in the background with -d, where attach finds it and detach leaves it", async () => {
      const { exited } = command(
        "run",
        "-d",
        "--name",
        "bg",
        IMAGE,
        "sh",
        "-c",
        "trap 'exit 0' TERM; while :; do echo tick; sleep 0.2; done",
      );
      expect(String((await exited).stdout)).toBe("bg\n");
      const attached = await eventually("it runs", async () => {
        const { child, exited: ended } = command("attach", "--no-stdin", "--sig-proxy=false", "bg");
        const first = await Promise.race([once(child.stdout ?? child, "data"), ended.then(() => undefined)]);
        return first === undefined ? undefined : { child, ended };
      });
      attached.child.kill("SIGINT");
      expect((await attached.ended).code).toBe(130);
      expect((await follower.calls.listTasks({ service: "bg", stack: "", node: "" })).tasks).toHaveLength(1);
      expect((await command("service", "rm", "bg").exited).code).toBe(0);
    });
  });

  describe("berth cp, beside docker cp", () => {
    const directory = temporaryDirectory();
    const cp = async (...args: string[]) => (await command("cp", ...args).exited).code;
    let container = "";
    const dockerCp = (from: string, to: string) => docker.docker("cp", from, to);
    const listing = async (path: string): Promise<string> => {
      const { stdout } = await start("sh", ["-c", `cd ${path} && find . -printf '%P %y %m %l\\n' | sort`])
        .exited;
      return String(stdout);
    };

    beforeAll(async () => {
      const { tasks } = await follower.calls.listTasks({ service: "shop_web", stack: "", node: "" });
      container = tasks.find(({ slot }) => slot === 1)?.status?.containerId ?? "";
      const script =
        "mkdir -p /src/sub /dst; echo a > /src/a; echo b > /src/sub/b; chmod 640 /src/a; ln -s /etc/passwd /src/abs; ln -s sub/b /src/rel; ln -s /src /link";
      await run("shop_web.1", "sh", "-c", script);
      await mkdir(directory, { recursive: true });
    });
    afterAll(() => rm(directory, { recursive: true, force: true }));

    test.each([
      ["/src", "new"],
      ["/src/.", "made"],
      ["/src/a", "copy"],
      ["/src/rel", "made"],
      ["/link", "linked"],
    ])("copies %s to %s from a container as docker cp does", async (from, to) => {
      const [ours, theirs] = [join(directory, "ours"), join(directory, "theirs")];
      for (const each of [ours, theirs]) {
        await rm(each, { recursive: true, force: true });
        await mkdir(join(each, "made"), { recursive: true });
      }
      expect(await cp(`shop_web.1:${from}`, join(ours, to))).toBe(0);
      await dockerCp(`${container}:${from}`, join(theirs, to));
      expect(await listing(ours)).toBe(await listing(theirs));
    });

    test.each([
      ["tree", "/dst"],
      ["tree/f", "/dst/g"],
    ])("copies %s to %s into a container as docker cp does", async (from, to) => {
      const tree = join(directory, "tree");
      await mkdir(join(tree, "sub"), { recursive: true });
      await writeFile(join(tree, "f"), "f");
      await writeFile(join(tree, "sub", "g"), "g".repeat(100_000));
      const seen: string[] = [];
      for (const isOurs of [true, false]) {
        await run("shop_web.1", "sh", "-c", "rm -rf /dst; mkdir /dst");
        if (isOurs) expect(await cp(join(directory, from), `shop_web.1:${to}`)).toBe(0);
        else await dockerCp(join(directory, from), `${container}:${to}`);
        const { stdout } = await run(
          "shop_web.1",
          "sh",
          "-c",
          "cd /dst; find . -type f | sort | xargs md5sum; find . -type d | sort",
        );
        seen.push(String(stdout));
      }
      expect(seen[0]).toBe(seen[1]);
      expect(seen[0]).not.toBe("");
    });

    test("streams tar archives, and refuses what docker cp refuses", async () => {
      const { child, exited } = command("cp", "shop_web.1:/src", "-");
      const tar = spawn("tar", ["-t"], { stdio: ["pipe", "pipe", "pipe"] });
      const listed = collectOutput(tar);
      child.stdout?.pipe(tar.stdin);
      expect((await exited).code).toBe(0);
      expect(String((await listed).stdout)).toContain("src/sub/b");
      expect(await cp("shop_web.1:/nope", directory)).toBe(1);
      expect(await cp("shop_web.1:/src", "shop_web.2:/x")).toBe(2);
      await writeFile(join(directory, "file"), "x");
      expect(await cp("shop_web.1:/src", join(directory, "file"))).toBe(2);
      expect(await cp(join(directory, "file"), "shop_web.1:/no/such/directory/")).not.toBe(0);
    });
  });

  test("lists, creates, inspects and removes volumes of the nodes", async () => {
    const volume = async (...args: string[]) => command("volume", ...args).exited;
    const [node = ""] = String((await command("node", "ls", "-q").exited).stdout)
      .trim()
      .split("\n");
    expect(await volume("create", "--node", node, "--label", "team=a", "data")).toMatchObject({ code: 0 });
    await docker.docker("volume", "create", "other");
    await docker.docker("run", "-d", "--name", "user", "-v", "other:/x", IMAGE, "sleep", "1000");
    const listed = JSON.parse(String((await volume("ls", "-o", "json")).stdout)) as object[];
    expect(listed).toMatchObject([
      { name: "data", driver: "local", labels: { team: "a" }, inUse: false },
      { name: "other", inUse: true },
    ]);
    expect(String((await volume("inspect", "data")).stdout)).toContain('"mountpoint": "/');
    expect(await volume("inspect", "nope")).toMatchObject({ code: 1 });
    const used = await volume("rm", "other");
    expect([used.code, used.stderr]).toEqual([
      1,
      expect.stringMatching(/volume other was not removed: .*in use/),
    ]);
    expect(await volume("prune")).toMatchObject({ code: 2 });
    expect(String((await volume("prune", "--all", "--force")).stdout)).toMatch(
      /: data\nTotal reclaimed space: /,
    );
    await docker.docker("rm", "-f", "user");
    expect(String((await volume("rm", "other")).stdout)).toBe("other\n");
    expect(await docker.docker("volume", "ls", "-q")).toBe("");
  });

  test("exits with status 125 when the leader of its command stops", async () => {
    // On a busy machine, the other server may have become the leader during the tests above.
    const { leaderAddress, epoch } = await follower.calls.getCluster({});
    const [leading, other] = leaderAddress === leader.address ? [leader, follower] : [follower, leader];
    const execOnOther = (...args: string[]): StartedCommand =>
      berth(`unix:${other.socket}`, ["exec", ...args]);
    const { child, exited } = execOnOther("-i", "shop_web.1", "sh", "-c", "echo ready; cat");
    await Promise.race([once(child.stdout ?? child, "data"), exited]);
    await leading.stop();
    const { code, stderr } = await exited;
    expect(stderr).toMatch(
      /lost connection to the command in task \w+ on .+ \(the command receives SIGHUP\): /,
    );
    expect(code).toBe(125);
    await eventually("the other server leads", async () => (await other.calls.getCluster({})).epoch > epoch);
    await eventually(
      "the agent has a session with it",
      async () => (await execOnOther("shop_web.1", "true").exited).code === 0,
    );
  });
});
