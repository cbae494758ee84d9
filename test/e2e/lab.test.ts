import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { HELP, parseCommand } from "../../deploy/lab/cli/parse-command.js";
import { runCommand } from "../../deploy/lab/cli/run-command.js";
import { collectRootfs, readRecipe } from "../../deploy/lab/image-recipe.js";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { testLabName } from "../../deploy/lab/lab-state.js";
import { openLab } from "../../deploy/lab/open-lab.js";
import { processRef } from "../../deploy/lab/processes.js";
import { run } from "../../deploy/lab/run.js";
import { removeLab } from "../../deploy/lab/teardown.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { labTraces, processTree } from "./support/lab-traces.js";

const fromRepo = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const HELLO = fromRepo("deploy/images/hello");
const LAB_MAIN = fromRepo("deploy/lab/main.ts");
const PORT = 8_000;
/** Even on a busy machine, a process or container starts or ends within this time. */
const CHANGE_TIMEOUT_MS = 30_000;

const labs: string[] = [];
function newName(): string {
  const name = testLabName();
  labs.push(name);
  return name;
}
afterAll(async () => {
  for (const name of labs) await removeLab(name);
});

describe("a lab of Docker hosts", () => {
  let lab: Lab;
  let h1: Lab["hosts"][number];
  let h2: Lab["hosts"][number];

  beforeAll(async () => {
    lab = await createLab({ name: newName(), hosts: 2, hasBerth: false });
    [h1, h2] = [lab.host("h1"), lab.host("h2")];
    await lab.loadImage(HELLO, "hello:1");
  });

  afterEach(async () => {
    for (const host of lab.hosts) if (!host.isUp) await host.start();
  });

  async function docker(host: Lab["hosts"][number], ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(["docker", "-H", `unix://${host.dockerSocket}`, ...args]);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  }

  test("every host runs its own Docker daemon with its own hostname", async () => {
    expect(await docker(h1, "info", "--format", "{{.Name}}")).toBe("h1");
    expect(await docker(h2, "info", "--format", "{{.Name}}")).toBe("h2");
    const inside = await h2.exec(["hostname"]);
    expect(inside).toEqual({ code: 0, stdout: "h2\n", stderr: "" });
    expect(await docker(h1, "info", "--format", "{{.ID}}")).not.toBe(
      await docker(h2, "info", "--format", "{{.ID}}"),
    );
  });

  test("a host has its own machine ID and a new boot ID after a power cut", async () => {
    const ids = async (host: Lab["hosts"][number]): Promise<string[]> => {
      const { stdout } = await host.exec(["cat", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"]);
      return stdout.trim().split("\n");
    };
    const [machine, boot] = await ids(h1);
    const [otherMachine, otherBoot] = await ids(h2);
    expect(machine).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set([machine, boot, otherMachine, otherBoot]).size).toBe(4);
    await h1.kill();
    await h1.start();
    const [machineAfter, bootAfter] = await ids(h1);
    expect(machineAfter).toBe(machine);
    expect(bootAfter).not.toBe(boot);
  });

  test("a published port is reachable from the other host, the server machine and the root namespace", async () => {
    await docker(h1, "run", "-d", "--name", "web", "-e", "GREETING=ahoy", "-p", `${PORT}:80`, "hello:1");
    const url = `http://${h1.address}:${PORT}`;
    const fetched = await waitUntil(() => fetchText(url), {
      what: "the container to answer",
      timeoutMs: CHANGE_TIMEOUT_MS,
    });
    expect(fetched).toMatch(/^ahoy from [0-9a-f]{12}\n$/);
    for (const machine of [h2, lab.serverMachine]) {
      expect((await machine.exec(["busybox", "wget", "-q", "-O-", url])).stdout).toBe(fetched);
    }
    await docker(h1, "rm", "-f", "web");
  });

  test("a killed host leaves open connections without a reset, and containers Exited (255) after its start", async () => {
    await docker(h1, "run", "-d", "--name", "lost", "-p", `${PORT}:80`, "hello:1");
    await docker(h2, "run", "-d", "--name", "kept", "hello:1");
    const connect = ["busybox", "nc", "-w", "1", h1.address, String(PORT)];
    const establishedTo = ["ss", "-Htn", "state", "established", "dst", `${h1.address}:${PORT}`];
    await waitUntil(async () => (await h2.exec(connect, { input: "" })).code === 0, {
      what: "the port",
      timeoutMs: CHANGE_TIMEOUT_MS,
    });
    const open = lab.serverMachine.exec([
      "sh",
      "-c",
      `sleep 9 | busybox timeout 8 busybox nc ${h1.address} ${PORT}`,
    ]);
    await waitUntil(async () => (await lab.serverMachine.exec(establishedTo)).stdout.includes(h1.address), {
      what: "the open connection",
      timeoutMs: 8_000,
    });

    await h1.kill();

    expect(h1.isUp).toBe(false);
    expect(h1.processes("dockerd")).toEqual([]);
    const later = await h2.exec(connect);
    expect(later.stderr).toMatch(/timed out|No route|unreachable/);
    expect((await open).code, "ended by its own timeout, not by a reset").toBe(143);
    expect(await docker(h2, "ps", "--format", "{{.Names}}")).toBe("kept");
    await expect(h1.exec(["true"])).rejects.toMatchObject({ code: "LAB_HOST_DOWN" });

    await h1.start();
    expect(await docker(h1, "ps", "-a", "--format", "{{.Names}} {{.Status}}")).toMatch(
      /^lost Exited \(255\)/,
    );
    await docker(h1, "rm", "lost");
    await docker(h2, "rm", "-f", "kept");
  });

  test("partition disconnects a running host until heal reconnects it", async () => {
    await docker(h1, "run", "-d", "--name", "web", "-p", `${PORT}:80`, "hello:1");
    const url = `http://${h1.address}:${PORT}`;
    await waitUntil(() => fetchText(url), { what: "the container to answer", timeoutMs: CHANGE_TIMEOUT_MS });

    await h1.partition();
    expect(await h1.isPartitioned()).toBe(true);
    expect(await fetchText(url)).toBeUndefined();
    expect(await docker(h1, "ps", "--format", "{{.Names}}")).toBe("web");

    await h1.heal();
    await waitUntil(() => fetchText(url), {
      what: "the container to answer again",
      timeoutMs: CHANGE_TIMEOUT_MS,
    });
    await docker(h1, "rm", "-f", "web");
  });

  test("a host that was down loads new images when it starts", async () => {
    await h2.kill();
    await lab.loadImage(HELLO, "late:1");
    await h2.start();
    expect(await docker(h2, "image", "inspect", "--format", "{{.Id}}", "late:1")).toBe(
      await docker(h1, "image", "inspect", "--format", "{{.Id}}", "late:1"),
    );
  });

  test("dockerd can be killed and started without its host", async () => {
    const [before] = h1.processes("dockerd");
    await h1.killProcess("dockerd");
    expect(h1.processes("dockerd")).toEqual([]);
    await h1.startDockerd();
    expect(h1.processes("dockerd")).toHaveLength(1);
    expect(h1.processes("dockerd")[0]?.pid).not.toBe(before?.pid);
    await expect(h1.killProcess("agent")).rejects.toMatchObject({ code: "LAB_NOT_READY" });
  });

  test("PID 1 of a host reaps orphans", async () => {
    const { stdout } = await h1.exec(["sh", "-c", "sleep 0.1 >/dev/null & echo $!"]);
    // A process that has ended has a directory until its parent reaps it.
    const isReaped = async (): Promise<boolean> =>
      (await h1.exec(["test", "-e", `/proc/${stdout.trim()}`])).code !== 0;
    await waitUntil(isReaped, { what: "the orphan to be reaped", timeoutMs: CHANGE_TIMEOUT_MS });
  });

  test("openLab returns the lab that createLab created", async () => {
    const again = await openLab(lab.name);
    expect(again.hosts.map(({ name, address }) => ({ name, address }))).toEqual(
      lab.hosts.map(({ name, address }) => ({ name, address })),
    );
    expect(await docker(lab.host("h2"), "info", "--format", "{{.Name}}")).toBe("h2");
    await expect(createLab({ name: lab.name, hosts: 1 })).rejects.toMatchObject({
      code: "LAB_EXISTS",
      message: `lab ${lab.name} is already running; remove it with npm run lab -- down --name ${lab.name}`,
    });
  });

  test("a second lab does not interfere and leaves no trace after its removal", async () => {
    const other = await createLab({ name: newName(), hosts: 1, hasBerth: false });
    const [host] = other.hosts;
    if (!host) throw new Error("no host");
    await other.loadImage(HELLO, "hello:1");
    await docker(host, "run", "-d", "-m", "20m", "-v", "data:/data", "-p", `${PORT}:80`, "hello:1");
    const url = `http://${host.address}:${PORT}`;
    await waitUntil(() => fetchText(url), {
      what: "the other lab's container",
      timeoutMs: CHANGE_TIMEOUT_MS,
    });
    const subnet = host.address.replace(/\.\d+$/, "");
    const inits = [host, other.serverMachine].map((machine) => processRef(machine.initPid ?? 0));
    const processes = inits.filter((init) => init !== undefined).flatMap(processTree);
    // Two for each machine (init and sleep), and on the host dockerd, containerd, a shim and the container's processes.
    expect(processes.length).toBeGreaterThanOrEqual(8);
    const kinds = (traces: string[]): string[] =>
      [...new Set(traces.map((line) => line.split(" ")[0] ?? ""))].sort();
    expect(kinds(labTraces(other.name, subnet, processes))).toEqual(
      ["cgroup", "directory", "link", "mount", "process", "route"].sort(),
    );

    await other.down();

    expect(labTraces(other.name, subnet, processes)).toEqual([]);
    expect(await docker(h1, "info", "--format", "{{.Name}}")).toBe("h1");
  });
});

describe("a lab with berth on it", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab({ name: newName(), hosts: 1 });
  });

  test("the CLI reaches the server", async () => {
    const listsHost = async (): Promise<boolean> => /\bh1\b/.test((await lab.berth(["node", "ls"])).stdout);
    await waitUntil(listsHost, { what: "the agent to join", timeoutMs: 30_000 });
  });

  test("the agent can be killed and started without its host", async () => {
    const host = lab.host("h1");
    await host.killProcess("agent");
    expect(host.processes("agent")).toEqual([]);
    await host.startAgent();
    // The launcher becomes the agent a moment after it was started.
    const isRunning = async (): Promise<boolean> => host.processes("agent").length === 1;
    await waitUntil(isRunning, { what: "the agent to run", timeoutMs: CHANGE_TIMEOUT_MS });
    await expect(host.startAgent()).rejects.toMatchObject({ code: "LAB_HOST_UP" });
  });

  test("the server restarts with its data after it and its etcd were killed", async () => {
    await lab.serverMachine.killProcess("etcd");
    await lab.serverMachine.killProcess("server");
    expect(await lab.serverMachine.isHealthy()).toBe(false);
    await lab.serverMachine.startServer();
    expect(await lab.serverMachine.isHealthy()).toBe(true);
    expect(lab.serverMachine.processes("etcd")).toHaveLength(1);
    expect((await lab.berth(["node", "ls"])).stdout).toMatch(/\bh1\b/);
  });
});

describe("a lab with another Docker", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "berth-docker-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  test("hosts see the files of the directory but the server machine does not", async () => {
    const { stdout: dockerd } = await run(["sh", "-c", "command -v dockerd"]);
    await cp(dockerd.trim(), join(directory, "usr/sbin/dockerd"));
    await writeFile(join(directory, "usr/sbin/only-there"), "#!/bin/sh\n", { mode: 0o755 });
    const lab = await createLab({ name: newName(), hosts: 1, hasBerth: false, docker: directory });
    expect(await (await openLab(lab.name)).host("h1").describeDaemons()).toEqual(["docker"]);
    expect((await lab.host("h1").exec(["only-there"])).code).toBe(0);
    expect((await lab.serverMachine.exec(["only-there"])).code).not.toBe(0);
    await lab.down();
  });

  test("a directory without Docker is rejected, with the remedy", async () => {
    await expect(createLab({ name: newName(), hosts: 1, docker: "/nowhere" })).rejects.toMatchObject({
      code: "LAB_UNSUPPORTED",
      message: expect.stringContaining("no usr/sbin/dockerd in /nowhere"),
    });
  });
});

describe("the removal of a lab", () => {
  test("down removes the leftovers of a lab without processes that openLab does not find", async () => {
    const lab = await createLab({ name: newName(), hosts: 1, hasBerth: false });
    for (const machine of [...lab.hosts, lab.serverMachine]) process.kill(machine.initPid ?? 0, "SIGKILL");
    await waitUntil(() => !lab.serverMachine.isUp && !lab.host("h1").isUp, {
      what: "the machines to end",
      timeoutMs: CHANGE_TIMEOUT_MS,
    });
    await expect(openLab(lab.name)).rejects.toMatchObject({ code: "LAB_NOT_FOUND" });
    expect(labTraces(lab.name, subnetOf(lab), [])).not.toEqual([]);
    await lab.down();
    expect(labTraces(lab.name, subnetOf(lab), [])).toEqual([]);
  });

  test("createLab rejects one of two concurrent calls with the same name", async () => {
    const options = { name: newName(), hosts: 1, hasBerth: false };
    const results = await Promise.allSettled([createLab(options), createLab(options)]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    for (const result of results) {
      if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "LAB_EXISTS" });
      else expect(result.value.host("h1").processes("dockerd")).toHaveLength(1);
    }
    await removeLab(options.name);
  });

  test("an aborted createLab leaves nothing behind", async () => {
    const name = newName();
    const interrupt = new AbortController();
    const abortAtFirstStep = (): void => interrupt.abort(new Error("aborted by the test"));
    const options = {
      name,
      hosts: 2,
      hasBerth: false,
      signal: interrupt.signal,
      onProgress: abortAtFirstStep,
    };
    await expect(createLab(options)).rejects.toThrow("aborted by the test");
    expect(labTraces(name, "no subnet", [])).toEqual([]);
  });

  test("createLab removes only test labs whose creator was killed", async () => {
    const [orphaned, living] = [newName(), newName()];
    const mine = await createLab({ name: living, hosts: 1, hasBerth: false });
    const owner = spawn(
      process.execPath,
      ["--import", "tsx", LAB_MAIN, "up", "--no-berth", "--name", orphaned],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await once(owner.stdout, "data");
    owner.kill("SIGKILL");
    await once(owner, "exit");
    expect(labTraces(orphaned, "no subnet", [])).not.toEqual([]);

    const next = await createLab({ name: newName(), hosts: 1, hasBerth: false });

    expect(labTraces(orphaned, "no subnet", [])).toEqual([]);
    expect(mine.host("h1").isUp).toBe(true);
    await Promise.all([mine.down(), next.down()]);
  });
});

describe("an image recipe", () => {
  const directories: string[] = [];
  afterAll(async () => {
    for (const directory of directories) await rm(directory, { recursive: true });
  });

  async function recipeDirectory(recipe: string): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), "berth-recipe-"));
    directories.push(directory);
    await writeFile(join(directory, "image.json"), recipe);
    return directory;
  }

  test("collectRootfs copies a program with all its libraries", async () => {
    const rootfs = await recipeDirectory("{}");
    await collectRootfs({ programs: ["redis-cli"], files: [], directories: ["/var/empty"] }, rootfs);
    const { code, stdout } = await run(["chroot", rootfs, "/usr/bin/redis-cli", "--version"]);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/^redis-cli \d/) });
    expect(await readdir(join(rootfs, "var/empty"))).toEqual([]);
  });

  test("collectRootfs copies the newest version of a file, and directories with what their links name", async () => {
    const machine = await recipeDirectory("{}");
    for (const version of ["9", "15"]) {
      await mkdir(join(machine, version, "share"), { recursive: true });
      await writeFile(join(machine, version, "share/version"), version);
      await writeFile(join(machine, version, "run"), version, { mode: 0o755 });
      await symlink("version", join(machine, version, "share/link"));
      await symlink("nowhere", join(machine, version, "share/dangling"));
    }
    const rootfs = await recipeDirectory("{}");
    const recipe = { programs: [`${machine}/*/run`], files: [`${machine}/1*/share`], directories: [] };
    await collectRootfs(recipe, rootfs);
    expect(await readFile(join(rootfs, "usr/bin/run"), "utf8")).toBe("15");
    expect(await readdir(join(rootfs, machine))).toEqual(["15"]);
    expect((await readdir(join(rootfs, machine, "15/share"))).sort()).toEqual(["link", "version"]);
    expect(await readFile(join(rootfs, machine, "15/share/link"), "utf8")).toBe("15");
  });

  test.each([
    ['{"programs": "node"}', "programs must be a list of strings"],
    ['{"program": ["node"]}', "unknown key program; use programs, files and directories"],
    ["{", "JSON"],
  ])("readRecipe rejects %s with the file's name and the reason", async (recipe, reason) => {
    const directory = await recipeDirectory(recipe);
    await expect(readRecipe(directory)).rejects.toThrow(reason);
    await expect(readRecipe(directory)).rejects.toThrow(join(directory, "image.json"));
  });

  test.each([
    [{ programs: ["no-such-program"], files: [], directories: [] }, "program no-such-program not found"],
    [{ programs: [], files: ["/usr/no-such-*/file"], directories: [] }, "/usr/no-such-*/file not found"],
    [{ programs: [], files: [], directories: ["../../outside"] }, "outside the image"],
  ])("collectRootfs rejects %j with the reason", async (recipe, reason) => {
    const rootfs = await recipeDirectory("{}");
    await expect(collectRootfs(recipe, rootfs)).rejects.toThrow(reason);
  });
});

describe("the lab's CLI", () => {
  const lab = (...args: string[]): ReturnType<typeof run> =>
    run([process.execPath, "--import", "tsx", LAB_MAIN, ...args], { env: { ...process.env, NO_COLOR: "1" } });

  test("rejects an unknown command with exit code 2 and the reason on stderr", async () => {
    const { code, stdout, stderr } = await lab("fly");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain('unknown command "fly"');
  });

  test.each([
    [["kill"], "kill requires at least one host"],
    [["up", "--hosts", "zero"], 'invalid value "zero" for --hosts'],
    [["up", "--servers", "x"], 'invalid value "x" for --servers'],
    [["up", "--hosts", "2", "--servers", "3"], "invalid number of servers 3: a lab of 2 hosts has 1 to 2"],
    [["up", "--servers", "1", "--no-berth"], "cannot use --servers with --no-berth"],
    [["down", "--hosts", "3"], "unknown option --hosts for down"],
    [["image", "somewhere"], "image requires SOURCE and TAG"],
    [["up", "--name", "Not a name"], 'invalid lab name "Not a name"'],
    [["down", "--name", "../x"], 'invalid lab name "../x"'],
  ])("rejects %j as bad usage, with the reason", async (args, reason) => {
    const runHere = async (): Promise<unknown> => {
      const command = parseCommand(args);
      return command.kind === "help" ? HELP : runCommand(command, new AbortController().signal);
    };
    const message = expect.stringContaining(reason);
    await expect(runHere()).rejects.toMatchObject({ code: "LAB_BAD_USAGE", message });
  });

  test("--help fits 80 columns", () => {
    expect(parseCommand(["--help"])).toEqual({ kind: "help" });
    expect(HELP.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  test("status of a lab that is not running fails with the remedy", async () => {
    const { code, stderr } = await lab("status", "--name", newName());
    expect(code).toBe(1);
    expect(stderr).toContain("create it with npm run lab -- up");
  });
});

function subnetOf(lab: Lab): string {
  return lab.serverMachine.address.replace(/\.\d+$/, "");
}

/** Returns the body, or undefined without a reply within 1 s. */
async function fetchText(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(1_000),
      headers: { connection: "close" },
    });
    return await response.text();
  } catch {
    return undefined;
  }
}
