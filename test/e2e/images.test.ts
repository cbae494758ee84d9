import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { type RunResult, runOrThrow } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { ensureBuildx } from "../../deploy/setup/buildx.mjs";
import { createLayers, loadTestImage, type TestImage } from "../bench/image/test-image.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { CONVERGE_TIMEOUT_MS, createCluster, readyNodes } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";

/** Large enough that a host can be killed before a layer has arrived. */
const LARGE_BYTES = 150_000_000;
const PUSH_TIMEOUT_MS = 120_000;
const POLL_MS = 5;
/** Versions of an image that a service gets one after another, each with a layer of its own. */
const VERSIONS = 20;
const VERSION_BYTES = 2_000_000;
/** A service keeps the version that runs and the ten before it. */
const KEPT_VERSIONS = 11;
const FAST_UPDATE = ["--update-parallelism", "0", "--update-monitor", "0s", "--stop-grace-period", "1s"];
const BUILD_TIMEOUT_MS = 300_000;

/** Services whose image has the name of the service in /result. */
const SHAPES = ["multi", "inline", "ignore", "script", "secret", "ssh", "cache", "options"];
/** Services with additional contexts, which require Docker 23.0. */
const CONTEXT_SHAPES = ["context", "service"];
const DOCKER_WITH_CONTEXTS = 23;
const RUN = 'RUN ["/usr/bin/busybox", "sh", "-ec", "$COMMAND"]\n';
const run = (command: string, mount = ""): string =>
  RUN.replace("RUN", `RUN ${mount}`.trim()).replace("$COMMAND", command);

/** Directories of ten builds, by path. */
const BUILD_FILES: Readonly<Record<string, string>> = {
  "compose.yaml": `
x-all: &all { init: true, stop_grace_period: 1s, deploy: { mode: global } }
services:
  multi: { <<: *all, build: { context: multi, target: prod, args: { NAME: multi } } }
  inline:
    <<: *all
    build:
      dockerfile_inline: |
        FROM hello:1
        COPY inline.txt /result
      context: inline
      labels: { kind: inline }
      network: none
  ignore: { <<: *all, build: { context: ignore, dockerfile: docker/web.Dockerfile } }
  script: { <<: *all, build: { context: script, tags: ["script:latest"] } }
  secret: { <<: *all, build: { context: secret, secrets: [token] } }
  ssh: { <<: *all, build: { context: ssh, ssh: ["default=\${SHAPES_KEY}"] } }
  cache: { <<: *all, build: { context: cache, cache_from: ["hello:1"], no_cache_filter: [last] } }
  options:
    <<: *all
    build:
      context: options
      no_cache: true
      shm_size: 64m
      extra_hosts: ["builder.test:127.0.0.1"]
      ulimits: { nofile: 4096 }
      platforms: ["linux/${process.arch === "arm64" ? "arm64" : "amd64"}"]
secrets: { token: { file: ./token.txt } }
`,
  "contexts.yaml": `
x-all: &all { init: true, stop_grace_period: 1s, deploy: { mode: global } }
services:
  context: { <<: *all, build: { context: context, additional_contexts: { other: ./other } } }
  service: { <<: *all, build: { context: service, additional_contexts: { base: "service:multi" } } }
`,
  "token.txt": "secret",
  "multi/Dockerfile": `ARG BASE=hello:1
FROM $BASE AS base
ARG NAME
${run("echo $NAME > /made")}FROM hello:1 AS prod
COPY --from=base /made /result
FROM scratch AS last
`,
  "inline/inline.txt": "inline",
  "ignore/docker/web.Dockerfile": `FROM hello:1
COPY . /all/
${run("ls /all; test ! -e /all/key.secret; cp /all/page.txt /result")}`,
  "ignore/.dockerignore": "*.secret\n",
  "ignore/key.secret": "hidden",
  "ignore/page.txt": "ignore",
  "script/Dockerfile": `FROM hello:1\nENV NAME=script\nWORKDIR /work\n${run("echo $NAME > /result")}`,
  "secret/Dockerfile": `FROM hello:1\n${run("cp /run/secrets/token /result", "--mount=type=secret,id=token")}`,
  "ssh/Dockerfile": `FROM hello:1\n${run("test -S $SSH_AUTH_SOCK; echo ssh > /result", "--mount=type=ssh")}`,
  "context/Dockerfile": "FROM hello:1\nCOPY --from=other other.txt /result\n",
  "other/other.txt": "context",
  "service/Dockerfile": `FROM base\n${run("echo service > /result")}`,
  "cache/Dockerfile": `FROM hello:1 AS first
${run("echo cache > /cache/kept; cp /cache/kept /made", "--mount=type=cache,target=/cache")}FROM hello:1 AS last
COPY --from=first /made /result
`,
  "options/Dockerfile": `FROM hello:1\n${run("grep -q builder.test /etc/hosts; echo options > /result")}`,
};

describe("images without a registry, on three hosts", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createCluster(3);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await lab?.down();
  });

  const docker = async (host: LabHost, ...args: readonly string[]): Promise<string> =>
    (await runOrThrow(["docker", "-H", `unix://${host.dockerSocket}`, ...args])).trim();
  const push = (image: string, from: LabHost, ...nodes: readonly string[]): Promise<RunResult> =>
    lab.berth(["image", "push", ...nodes.flatMap((node) => ["--node", node]), image], {
      env: { ...lab.cliEnv(), DOCKER_HOST: `unix://${from.dockerSocket}` },
      timeoutMs: PUSH_TIMEOUT_MS,
    });
  /** Loads an image with one large layer into the Docker of a host whose agent is not running. */
  const loadLarge = async (host: LabHost, name: string): Promise<TestImage> =>
    loadTestImage(await createLayers(1, LARGE_BYTES), {
      name,
      dockerSocket: host.dockerSocket,
      signal: AbortSignal.timeout(PUSH_TIMEOUT_MS),
    });
  const layerFiles = ({ agentDataDir }: LabHost): readonly string[] => {
    try {
      return readdirSync(join(agentDataDir, "layers"));
    } catch {
      return [];
    }
  };
  /** Waits until one of the hosts has received a part of a layer, and returns it. */
  const untilHalfWay = async (...hosts: readonly LabHost[]): Promise<LabHost> => {
    const deadlineMs = Date.now() + PUSH_TIMEOUT_MS;
    while (Date.now() < deadlineMs) {
      const host = hosts.find((each) => layerFiles(each).some((name) => name.endsWith(".partial")));
      if (host !== undefined) return host;
      await sleep(POLL_MS);
    }
    throw new Error("no host has received anything");
  };
  const managed = (host: LabHost): Promise<string> =>
    docker(host, "images", "-q", "--no-trunc", "--filter", "reference=berth.internal/*");
  const restart = async (host: LabHost): Promise<void> => {
    await host.start();
    await waitUntil(async () => (await readyNodes(lab)).includes(host.name), {
      what: `${host.name} to be ready again`,
      timeoutMs: 2 * CONVERGE_TIMEOUT_MS,
    });
  };
  /** Removes what nothing uses, and checks that nothing is left on any host. */
  const expectNothingLeft = async (): Promise<void> => {
    expect(await lab.berth(["image", "prune"])).toMatchObject({ code: 0, stderr: "" });
    for (const host of lab.hosts) {
      expect([host.name, await managed(host), layerFiles(host)]).toEqual([host.name, "", []]);
    }
    const usage = JSON.parse((await lab.berth(["image", "df", "-o", "json"])).stdout);
    expect(usage).toMatchObject(["h1", "h2"].map((node) => ({ node, layersBytes: 0, shippedBytes: 0 })));
  };

  test("images of ten kinds of builds reach all hosts, and builders name what they cannot build", async () => {
    const [first] = lab.hosts as [LabHost];
    const directory = temporaryDirectory();
    for (const [name, text] of Object.entries(BUILD_FILES)) {
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), text);
    }
    await runOrThrow(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(directory, "key")]);
    vi.stubEnv("SHAPES_KEY", join(directory, "key"));
    vi.stubEnv("DOCKER_HOST", `unix://${first.dockerSocket}`);
    const deployShapes = (...files: readonly string[]): Promise<RunResult> => {
      const options = files.flatMap((file) => ["-c", join(directory, file)]);
      return lab.berth(["stack", "deploy", ...options, "shapes"], { timeoutMs: BUILD_TIMEOUT_MS });
    };

    vi.stubEnv("DOCKER_CONFIG", temporaryDirectory());
    const refused = await deployShapes("compose.yaml", "contexts.yaml");
    expect(refused.code).toBe(2);
    expect(refused.stderr.match(/\.yaml:\d+:\d+: \S+: .*cannot build with (\w+)/g)?.length).toBe(5);
    for (const key of ["secrets", "ssh", "additional_contexts", "no_cache_filter"])
      expect(refused.stderr).toContain(`the local Docker daemon cannot build with ${key}`);

    vi.stubEnv("DOCKER_CONFIG", ensureBuildx());
    const release = await docker(first, "version", "--format", "{{.Server.Version}}");
    const hasContexts = Number.parseInt(release, 10) >= DOCKER_WITH_CONTEXTS;
    if (!hasContexts) {
      const tooOld = await deployShapes("compose.yaml", "contexts.yaml");
      expect(tooOld.code).toBe(2);
      expect(tooOld.stderr.match(/contexts\.yaml:.* which requires BuildKit 0\.10/g)?.length).toBe(2);
    }
    const built = await deployShapes("compose.yaml", ...(hasContexts ? ["contexts.yaml"] : []));
    expect(built.code, built.stderr.slice(-1_500)).toBe(0);
    const services = [...SHAPES, ...(hasContexts ? CONTEXT_SHAPES : [])];
    for (const service of services) {
      const running = await listRunning(lab, `shapes_${service}`);
      expect([service, running.map(({ host }) => host).sort()]).toEqual([service, ["h1", "h2", "h3"]]);
      for (const { host, id } of running) {
        const result = await docker(lab.host(host), "exec", id, "/usr/bin/busybox", "cat", "/result");
        expect([service, host, result]).toEqual([service, host, service]);
      }
    }
    const usage: readonly { readonly node: string; readonly images: number; readonly imagesBytes: number }[] =
      JSON.parse((await lab.berth(["image", "df", "-o", "json"])).stdout);
    for (const { node, images, imagesBytes } of usage) {
      expect([node, images > services.length, imagesBytes > 0]).toEqual([node, true, true]);
    }
    expect(usage).toHaveLength(lab.hosts.length);
    expect((await lab.berth(["stack", "rm", "shapes"])).code).toBe(0);
    vi.unstubAllEnvs();
  });

  test("of twenty versions of an image, a prune leaves the current one and the ten before it", async () => {
    const [first, ...others] = lab.hosts as [LabHost, ...LabHost[]];
    const directory = temporaryDirectory();
    await writeFile(join(directory, "Dockerfile"), "FROM hello:1\nCOPY content /content\n");
    const env = { ...lab.cliEnv(), DOCKER_HOST: `unix://${first.dockerSocket}` };
    const berth = async (...args: readonly string[]): Promise<RunResult> => {
      const result = await lab.berth(args, { env, timeoutMs: CONVERGE_TIMEOUT_MS });
      expect([args.join(" "), result.code, result.stderr]).toEqual([args.join(" "), 0, ""]);
      return result;
    };
    /** Returns the size of all images on each host that does not build them. */
    const sizes = async (): Promise<readonly number[]> => {
      const usage: readonly { readonly node: string; readonly imagesBytes: number }[] = JSON.parse(
        (await berth("image", "df", "-o", "json")).stdout,
      );
      return usage.flatMap(({ node, imagesBytes }) => (node === first.name ? [] : [imagesBytes]));
    };
    await berth("image", "prune");
    const before = await sizes();
    for (let version = 1; version <= VERSIONS; version += 1) {
      await writeFile(join(directory, "content"), randomBytes(VERSION_BYTES));
      await docker(first, "build", "--quiet", "--tag", `app:${version}`, directory);
      await (version === 1
        ? berth("service", "create", "--name", "app", "--mode", "global", "--init", ...FAST_UPDATE, "app:1")
        : berth("service", "update", "--image", `app:${version}`, "app"));
    }
    const grown = (after: readonly number[]): readonly number[] =>
      // A difference of a few bytes can round to -0, which is not equal to 0.
      after.map((bytes, index) => Math.round((bytes - (before[index] ?? 0)) / VERSION_BYTES) || 0);
    expect(grown(await sizes())).toEqual(others.map(() => VERSIONS));
    await berth("image", "prune");
    expect(grown(await sizes())).toEqual(others.map(() => KEPT_VERSIONS));
    await berth("service", "rm", "app");
    await berth("image", "prune");
    expect(grown(await sizes())).toEqual(others.map(() => 0));
  });

  test("a host that dies during a push is named, the others get the image, and a second push continues", async () => {
    const [first, second, third] = lab.hosts as [LabHost, LabHost, LabHost];
    // The image is in the Docker of a host that is no node, as on a laptop.
    await third.killProcess("agent");
    await lab.berth(["node", "rm", "--force", "h3"]);
    const { id } = await loadLarge(third, "local.invalid/target:1");

    // The target dies.
    const pushing = push("local.invalid/target:1", third, "h1", "h2");
    await untilHalfWay(second);
    await second.kill();
    const failed = await pushing;
    expect([failed.code, failed.stderr]).toEqual([
      1,
      expect.stringMatching(/node h2 did not store local\.invalid\/target:1: /),
    ]);
    expect([await managed(first), await managed(third)]).toEqual([id, ""]);
    await restart(second);
    expect(await managed(second)).toBe("");
    expect(await push("local.invalid/target:1", third, "h1", "h2")).toMatchObject({ code: 0, stderr: "" });
    expect(await managed(second)).toBe(id);
    await expectNothingLeft();

    // The host that gets the bytes from the client dies, from which the other one copies them.
    await docker(third, "image", "rm", id);
    const next = await loadLarge(third, "local.invalid/source:1");
    const broken = push("local.invalid/source:1", third, "h1", "h2");
    await untilHalfWay(first);
    await first.kill();
    const lost = await broken;
    expect([lost.code, lost.stderr]).toEqual([
      1,
      expect.stringMatching(/node h1 did not store local\.invalid\/source:1: .*\n\(BERTH_NODE_UNREACHABLE\)/),
    ]);
    expect(await managed(second)).toBe("");
    await restart(first);
    await expectNothingLeft();

    // Without --node, the push continues with another host.
    const selecting = push("local.invalid/source:1", third);
    const selected = await untilHalfWay(first, second);
    await selected.kill();
    const other = selected === first ? second : first;
    expect(await selecting).toMatchObject({ code: 0, stdout: expect.stringContaining(`on ${other.name}`) });
    expect(await managed(other)).toBe(next.id);
    await restart(selected);
    await expectNothingLeft();
    await docker(third, "image", "rm", next.id);
  });
});
