import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { readField, readString } from "../../packages/agent/src/core/docker/json.js";
import { TASK_LABEL } from "../../packages/agent/src/core/docker/labels.js";
import type { ObservedContainer } from "../../packages/agent/src/core/docker/observed-container.js";
import { networkBody } from "../../packages/agent/src/core/networks/docker-network.js";
import { networkWith } from "../../packages/agent/src/core/networks/testing.js";
import type { ContainerConfig } from "../../packages/agent/src/core/tasks/container-config.js";
import type { ContainerEvent } from "../../packages/agent/src/core/tasks/container-event.js";
import { containerOwner } from "../../packages/agent/src/engine/container-owner.js";
import { EngineClient } from "../../packages/agent/src/engine/dockerode/client.js";
import { DockerodeEngine } from "../../packages/agent/src/engine/dockerode/dockerode-engine.js";
import type { Engine } from "../../packages/agent/src/engine/engine.js";
import { FakeEngine } from "../fakes/engine/fake-engine.js";
import { eventually } from "../harness/eventually.js";
import { DockerHost } from "../integration/agent/docker-host.js";
import { IMAGE, RUN_UNTIL_STOPPED } from "../integration/agent/specs.js";

interface Daemon {
  readonly socket: string;
  /** Newest API version that the daemon supports. */
  readonly apiVersion: string;
  /** Writes the output of the container of the test of logs, where its process cannot. */
  readonly prepareLog: (id: string) => void;
  readonly clean: () => Promise<void>;
  readonly close: () => Promise<void>;
}

async function realDaemon(): Promise<Daemon> {
  const host = await DockerHost.start();
  return {
    socket: host.socket,
    apiVersion: await host.docker("version", "--format", "{{.Server.APIVersion}}"),
    prepareLog: () => {},
    clean: () => host.removeContainers(),
    close: () => host.close(),
  };
}

async function fakeDaemon(): Promise<Daemon> {
  const directory = await mkdtemp(join(tmpdir(), "berth-engine-"));
  const socket = join(directory, "docker.sock");
  const fake = new FakeEngine();
  await fake.listen(socket);
  return {
    socket,
    apiVersion: "1.41",
    prepareLog: (id) => {
      const lines = ["out", LONG_LINE].map((text) => ({ stream: 1, text }) as const);
      fake.containers.get(id)?.log.push(...lines, { stream: 2, text: "err" });
    },
    clean: async () => fake.containers.clear(),
    close: async () => {
      await fake.close();
      await rm(directory, { recursive: true });
    },
  };
}

const { signal } = new AbortController();

/** A line that Docker divides into three pieces. */
const LONG_LINE = "x".repeat(40_000);

/** Returns the container's address in each of its networks, by network name. */
function addressesIn({ networks }: ObservedContainer): Record<string, string> {
  return Object.fromEntries(networks.map(({ name, address }) => [name, address]));
}

function configOf(taskId: string | undefined, command = RUN_UNTIL_STOPPED): ContainerConfig {
  return {
    name: `n-${taskId ?? "foreign"}`,
    platform: "",
    body: {
      Image: IMAGE,
      Cmd: command,
      Labels: taskId === undefined ? {} : { [TASK_LABEL]: taskId },
      StopTimeout: 3,
      ExposedPorts: { "80/tcp": {} },
      HostConfig: {
        RestartPolicy: { Name: "no" },
        NetworkMode: "default",
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
      },
    },
  };
}

describe.each([
  ["a real Docker daemon", realDaemon],
  ["the fake daemon", fakeDaemon],
])("Engine on %s", (_, start) => {
  let daemon: Daemon;
  let engine: Engine;

  beforeAll(async () => {
    daemon = await start();
    engine = new DockerodeEngine(daemon.socket, containerOwner("this agent"));
    await engine.connect({ signal });
  });
  afterEach(() => daemon.clean());
  afterAll(() => daemon?.close());

  const inspected = async (id: string): Promise<ObservedContainer> => {
    const container = await engine.inspect(id, { signal });
    if (container === undefined) throw new Error("no such container");
    return container;
  };

  test("connect negotiates an API version that the daemon supports", async () => {
    const { apiVersion } = daemon;
    expect(await engine.connect({ signal })).toMatchObject({ apiVersion, os: "linux" });
    await engine.ping({ signal });
  });

  test("a container is created, runs with its port, exits and is removed", async () => {
    const id = await engine.create(configOf("t1"), { signal });
    expect(await inspected("n-t1")).toMatchObject({ id, state: "created", taskId: "t1", stopGraceMs: 3_000 });
    await engine.start(id, { signal });
    await engine.start(id, { signal });
    const running = await inspected(id);
    expect(running).toMatchObject({ state: "running", ports: [{ target: 80, hostIp: "127.0.0.1" }] });
    expect(running.ports[0]?.hostPort).toBeGreaterThan(0);
    await engine.stop(id, { signal, graceMs: 3_000 });
    await engine.stop(id, { signal, graceMs: 3_000 });
    expect(await inspected(id)).toMatchObject({ state: "exited" });
    await engine.remove(id, { signal });
    await engine.remove(id, { signal });
    expect(await engine.inspect(id, { signal })).toBeUndefined();
  });

  test("list returns only berth's containers", async () => {
    const id = await engine.create(configOf("t2"), { signal });
    await engine.create(configOf(undefined), { signal });
    expect(await engine.list({ signal })).toMatchObject([{ id, taskId: "t2" }]);
  });

  test("a container with copied labels does not count as berth's", async () => {
    const client = new EngineClient(daemon.socket);
    const ids: string[] = [];
    const sinceNs = `${Date.now()}000000`;
    const listening = new AbortController();
    const reading = (async () => {
      for await (const event of engine.events({ sinceNs, signal: listening.signal }))
        ids.push(event.containerId);
    })().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    const original = await engine.create(configOf("t8"), { signal });
    const path = `/containers/${original}/json`;
    const labels = readField(
      readField(await client.request({ method: "GET", path, signal }), "Config"),
      "Labels",
    );
    expect(labels).toMatchObject({ [TASK_LABEL]: "t8" });
    const body = { ...configOf("t8").body, Labels: labels };
    const query = { name: "copy" };
    const copy = readString(
      readField(
        await client.request({ method: "POST", path: "/containers/create", query, body, signal }),
        "Id",
      ),
    );
    await new DockerodeEngine(daemon.socket, containerOwner("another agent")).create(configOf("t9"), {
      signal,
    });
    expect(await engine.list({ signal })).toMatchObject([{ id: original, taskId: "t8" }]);
    expect(await inspected(original)).toMatchObject({ taskId: "t8" });
    expect(await inspected(copy)).toMatchObject({ taskId: "" });
    expect(await inspected("n-t9")).toMatchObject({ taskId: "" });
    await engine.start(copy, { signal });
    await engine.start(original, { signal });
    await eventually("the start of the original", () => ids.includes(original));
    expect(ids).not.toContain(copy);
    listening.abort();
    await reading;
  });

  test("a network is created once, joined by containers, kept while they run and then removed", async () => {
    const front = networkBody(networkWith({ id: "front", spec: { name: "front" } }), 1_450);
    const back = networkBody(
      networkWith({
        id: "back",
        vni: 4098,
        subnet: "10.65.0.0/18",
        range: "10.65.1.0/25",
        gateway: "10.65.1.1",
        spec: { name: "back" },
      }),
      1_450,
    );
    const [frontId, backId] = [
      await engine.createNetwork(front, { signal }),
      await engine.createNetwork(back, { signal }),
    ];
    await expect(engine.createNetwork(front, { signal })).rejects.toMatchObject({ kind: "name-taken" });
    expect(await engine.networks({ signal })).toContainEqual({
      id: frontId,
      name: "front",
      networkId: "front",
      config: "10.64.0.0/18 10.64.1.0/25 10.64.1.1 4097",
      mtu: 1_450,
    });

    const { body, ...config } = configOf("networked");
    const NetworkingConfig = { EndpointsConfig: { front: {} } };
    const HostConfig = { ...body.HostConfig, NetworkMode: "front" };
    const id = await engine.create(
      { ...config, body: { ...body, HostConfig, NetworkingConfig } },
      { signal },
    );
    await engine.connectNetwork("back", { containerId: id, endpoint: {}, signal });
    expect(addressesIn(await inspected(id))).toEqual({ front: "", back: "" });
    await engine.start(id, { signal });
    // Gateways have .1, and .0 is not assigned.
    expect(addressesIn(await inspected(id))).toEqual({ front: "10.64.1.2", back: "10.65.1.2" });

    await expect(engine.removeNetwork(frontId, { signal })).rejects.toMatchObject({ kind: "conflict" });
    await engine.remove(id, { signal });
    for (const network of [frontId, frontId, backId]) await engine.removeNetwork(network, { signal });
    const left = (await engine.networks({ signal })).filter(({ networkId }) => networkId !== "");
    expect(left).toEqual([]);
  });

  test("errors distinguish a taken name, a missing image and a missing container", async () => {
    await engine.create(configOf("t3"), { signal });
    await expect(engine.create(configOf("t3"), { signal })).rejects.toMatchObject({ kind: "name-taken" });
    const config = configOf("t4");
    const noImage = { ...config, body: { ...config.body, Image: "nothing:1" } };
    await expect(engine.create(noImage, { signal })).rejects.toMatchObject({ kind: "no-such-image" });
    await expect(engine.start("missing", { signal })).rejects.toMatchObject({ kind: "not-found" });
    expect(await engine.imageExists("nothing:1", { signal })).toBe(false);
    expect(await engine.imageExists(IMAGE, { signal })).toBe(true);
  });

  test("repoDigests is empty for an image from no registry, and undefined without the image", async () => {
    expect(await engine.repoDigests(IMAGE, { signal })).toEqual([]);
    expect(await engine.repoDigests("nothing:1", { signal })).toBeUndefined();
  });

  test("registryDigest rejects with the reason why the registry cannot be asked", async () => {
    const digest = engine.registryDigest("127.0.0.1:1/nothing:1", { signal });
    await expect(digest).rejects.toMatchObject({ message: expect.stringMatching(/refused|unknown/) });
    await expect(engine.registryDigest("../info", { signal })).rejects.toMatchObject({ kind: "invalid" });
  });

  test("pull rejects with the error of the progress stream", async () => {
    const pull = engine.pull("127.0.0.1:1/nothing:1", { signal, platform: "" });
    await expect(pull).rejects.toMatchObject({ message: expect.stringMatching(/refused|unknown/) });
  });

  test("events report starts and exits of berth's containers until the signal aborts", async () => {
    const listening = new AbortController();
    const events: ContainerEvent[] = [];
    const sinceNs = `${Date.now()}000000`;
    const reading = (async () => {
      for await (const event of engine.events({ sinceNs, signal: listening.signal })) events.push(event);
    })();
    const ended = reading.catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const id = await engine.create(configOf("t5"), { signal });
    await engine.start(id, { signal });
    await engine.kill(id, { signal, unixSignal: "SIGKILL" });
    await eventually("an ended event", () => events.some(({ kind }) => kind === "ended"));
    expect(events[0]).toMatchObject({ kind: "started", containerId: id, taskId: "t5" });
    listening.abort();
    expect(await ended).toBeInstanceOf(Error);
  });

  const execIn = async (command: readonly string[], input?: Uint8Array): Promise<Record<string, unknown>> => {
    const id = await engine.create(configOf(`exec-${command.length}`), { signal });
    await engine.start(id, { signal });
    const stdin = input !== undefined;
    const options = { command, env: ["WHO=world"], user: "", workingDir: "", tty: false, stdin, signal };
    const exec = await engine.exec(id, options);
    if (input !== undefined) void exec.write(input).then(() => exec.endInput());
    const chunks: Record<string, Buffer[]> = { stdout: [], stderr: [] };
    for await (const { stream, bytes } of exec.output) chunks[stream]?.push(bytes);
    const exitCode = await exec.exitCode();
    return {
      exitCode,
      stdout: Buffer.concat(chunks.stdout ?? []),
      stderr: Buffer.concat(chunks.stderr ?? []).toString(),
    };
  };

  test("exec returns stdout, stderr and the exit code", async () => {
    const { exitCode, stdout, stderr } = await execIn([
      "sh",
      "-c",
      'echo "hello $WHO"; echo err >&2; exit 7',
    ]);
    expect([exitCode, String(stdout), stderr]).toEqual([7, "hello world\n", "err\n"]);
  });

  test("exec forwards binary input and its end", async () => {
    const input = randomBytes(3_000_000);
    const { exitCode, stdout } = await execIn(["cat"], input);
    expect(exitCode).toBe(0);
    expect(input.equals(stdout as Buffer)).toBe(true);
  });

  test("exec of a missing program returns exit code 127, as a shell does", async () => {
    expect(await execIn(["no-such-program"])).toMatchObject({ exitCode: 127 });
  });

  test("exec in a stopped container rejects with the reason", async () => {
    const id = await engine.create(configOf("t7"), { signal });
    const options = {
      command: ["true"],
      env: [],
      user: "",
      workingDir: "",
      tty: false,
      stdin: false,
      signal,
    };
    await expect(engine.exec(id, options)).rejects.toMatchObject({ kind: "conflict" });
  });

  test("logs yield lines with their stream and time, and whole lines that Docker keeps in pieces", async () => {
    const script = `echo out; head -c ${LONG_LINE.length} /dev/zero | tr '\\0' x; echo; echo err >&2`;
    const id = await engine.create(configOf("t6", ["sh", "-c", script]), { signal });
    daemon.prepareLog(id);
    await engine.start(id, { signal });
    const lines: string[] = [];
    const container = await inspected(id);
    const options = { signal, follow: true, tail: -1, sinceMs: 0, untilMs: 0 };
    for await (const { stream, line, timeNs } of engine.logs(container, options)) {
      lines.push(`${stream} ${line}`);
      expect(timeNs).toMatch(/^\d{19}$/);
    }
    expect(lines.sort()).toEqual(["stderr err", "stdout out", `stdout ${LONG_LINE}`]);
  });
});
