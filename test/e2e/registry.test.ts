import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { labPaths } from "../../deploy/lab/paths.js";
import { type RunResult, run, runOrThrow } from "../../deploy/lab/run.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { createLayers, loadTestImage, type TestImage } from "../bench/image/test-image.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, waitForReplicas } from "./support/cluster.js";
import { listRunning } from "./support/containers.js";
import {
  PASSWORDS,
  type PasswordName,
  REGISTRY_DOCKER_CONFIG,
  TestRegistry,
  USER,
} from "./support/registry.js";
import { listTasks } from "./support/tasks.js";

/** Large enough for several messages. */
const LAYER_BYTES = 1_000_000;

describe("a registry with passwords", () => {
  let lab: Lab;
  let registry: TestRegistry;
  /** References of two images in the registry, which no host has pulled. */
  let images: readonly [string, string];
  /** An image with other content. */
  let newImage: string;

  beforeAll(async () => {
    lab = await createCluster(2, { dockerConfig: REGISTRY_DOCKER_CONFIG });
    registry = await TestRegistry.start(lab);
    images = [await registry.push("hello:1", "team/web:1"), await registry.push("hello:1", "team/web:2")];
    newImage = await registry.pushChanged("hello:1", "team/web:3");
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await lab?.down();
  });

  const compose = (image: string): string => `
services:
  web:
    image: ${image}
    stop_grace_period: 1s
    deploy: { restart_policy: { delay: 500ms } }
`;

  const pullAlways = (): string => `${compose(images[0])}    pull_policy: always\n`;

  const login = (name: PasswordName): Promise<RunResult> =>
    lab.berth(["registry", "login", "-u", USER, "--password-stdin", registry.address], {
      input: PASSWORDS[name].password,
    });

  const listLogins = async (): Promise<readonly { readonly server: string; readonly stack: string }[]> =>
    JSON.parse((await lab.berth(["registry", "ls", "-o", "json"])).stdout);

  /** Waits for a rejected task with this code, and returns its message. */
  async function untilRejected(service: string, errorCode: string): Promise<string> {
    let message: string | undefined;
    const find = async (): Promise<boolean> => {
      const tasks = await listTasks(lab, service);
      message = tasks.find((task) => task.state === "rejected" && task.errorCode === errorCode)?.message;
      return message !== undefined;
    };
    await waitUntil(find, { what: `a task of ${service} with ${errorCode}`, timeoutMs: CONVERGE_TIMEOUT_MS });
    return message ?? "";
  }

  test("a deployment without a login says which one is missing, and recovers once it is stored", async () => {
    const [image] = images;
    await deploy(lab, "shop", compose(image), "--detach");
    const message = await untilRejected("shop_web", "BERTH_REGISTRY_LOGIN_MISSING");
    const { code, stderr } = await deploy(lab, "shop", compose(image), "--timeout", "3s");
    expect(code).toBe(1);
    expect(stderr).toContain(`run "berth registry login ${registry.address}"`);
    expect(stderr).toContain("(BERTH_REGISTRY_LOGIN_MISSING)");
    expect(message).toContain(`cannot pull image ${image}: no login for registry ${registry.address}`);
    const events = await lab.berth(["events", "--service", "shop_web", "-o", "json"]);
    expect(events.stdout).toContain('"errorCode":"BERTH_REGISTRY_LOGIN_MISSING"');

    const wrong = await login("second");
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/could not log in as ci: .*401 Unauthorized\n\(BERTH_REGISTRY_LOGIN_REFUSED\)/),
    ]);
    expect(await listLogins()).toEqual([]);

    expect(await login("first")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        `^Login to ${registry.address} as ci stored \\(checked by node h[12]\\)\n$`,
      ),
    });
    await waitForReplicas(lab, "shop_web", 1);
  });

  test("a replacement of a lost host pulls on another host with the stored login", async () => {
    const [lost] = await listRunning(lab, "shop_web");
    const host = lab.host(lost?.host ?? "");
    await host.kill();
    const isReplaced = async (): Promise<boolean> =>
      (await listRunning(lab, "shop_web")).some((container) => container.host !== host.name);
    await waitUntil(isReplaced, { what: "the replacement", timeoutMs: CONVERGE_TIMEOUT_MS });
    await host.start();
  });

  test("a password that has changed is reported, and a new login takes effect without a restart", async () => {
    await registry.setPassword("second");
    const before = await listRunning(lab, "shop_web");
    await deploy(lab, "changed", compose(images[1]), "--detach");
    expect(await untilRejected("changed_web", "BERTH_REGISTRY_LOGIN_REFUSED")).toContain(
      `registry ${registry.address} refused the login of ci; run "berth registry login ${registry.address}"`,
    );
    expect((await login("second")).code).toBe(0);
    await waitForReplicas(lab, "changed_web", 1);
    expect(await listRunning(lab, "shop_web")).toEqual(before);
  });

  test("an image that does not exist keeps the registry's text", async () => {
    await deploy(lab, "missing", compose(`${registry.address}/team/none:1`), "--detach");
    expect(await untilRejected("missing_web", "")).toMatch(/manifest unknown/);
    expect((await lab.berth(["stack", "rm", "--detach", "missing"])).code).toBe(0);
  });

  test("running tasks continue after a logout, and the next pull has no login", async () => {
    const before = await listRunning(lab, "shop_web");
    const logout = await lab.berth(["registry", "logout", registry.address]);
    expect(logout.stdout).toBe(`${registry.address}\n`);
    await deploy(lab, "after", pullAlways(), "--detach");
    await untilRejected("after_web", "BERTH_REGISTRY_LOGIN_MISSING");
    expect(await listRunning(lab, "shop_web")).toEqual(before);
    expect((await lab.berth(["stack", "rm", "--detach", "after"])).code).toBe(0);
  });

  test("a deployment with the caller's credentials stores them for its stack, until the stack is removed", async () => {
    vi.stubEnv("DOCKER_CONFIG", await registry.writeClientConfig("second"));
    const { code, stdout, stderr } = await deploy(lab, "own", pullAlways(), "--with-registry-auth");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`Storing registry login for ${registry.address} as ci\n`);
    expect(await listLogins()).toMatchObject([{ server: registry.address, stack: "own" }]);
    await deploy(lab, "other", pullAlways(), "--detach");
    await untilRejected("other_web", "BERTH_REGISTRY_LOGIN_MISSING");

    // The stored credentials expire, and a login for all stacks takes over. The hosts have never pulled the new image.
    await registry.setPassword("first");
    await lab.berth(["service", "update", "--image", newImage, "--detach", "own_web"]);
    expect(await untilRejected("own_web", "BERTH_REGISTRY_LOGIN_REFUSED")).toContain(
      "refused the login of ci (stored with stack own); deploy again with --with-registry-auth",
    );
    expect((await login("first")).code).toBe(0);
    const hasOne = async (): Promise<boolean> => (await listRunning(lab, "other_web")).length === 1;
    await waitUntil(hasOne, { what: "the stack without credentials", timeoutMs: CONVERGE_TIMEOUT_MS });
    await lab.berth(["service", "update", "--force", "--timeout", "30s", "own_web"]);
    await waitForReplicas(lab, "own_web", 1);

    expect((await lab.berth(["stack", "rm", "--detach", "own"])).code).toBe(0);
    expect(await listLogins()).toMatchObject([{ server: registry.address, stack: "" }]);
  });

  test("an image that no registry and only one host has reaches the others, and is pinned by its ID", async () => {
    const [first, second] = lab.hosts;
    const docker = async (host: LabHost | undefined, ...args: readonly string[]): Promise<string> =>
      (await runOrThrow(["docker", "-H", `unix://${host?.dockerSocket}`, ...args])).trim();
    const container = await docker(first, "create", "hello:1");
    const build = async (label: string): Promise<string> => {
      await docker(first, "commit", "--change", `LABEL build=${label}`, container, "local.invalid/web:1");
      return docker(first, "image", "inspect", "--format", "{{.Id}}", "local.invalid/web:1");
    };
    const global = `${compose("local.invalid/web:1")}    init: true\n`.replace(
      "deploy: {",
      "deploy: { mode: global, update_config: { monitor: 1s },",
    );
    const imageIds = async (): Promise<readonly string[]> => {
      const running = await listRunning(lab, "local_web");
      return Promise.all(
        running.map(({ host, id }) => docker(lab.host(host), "inspect", "--format", "{{.Image}}", id)),
      );
    };
    const one = await build("one");
    expect(await deploy(lab, "local", global)).toMatchObject({ code: 0, stderr: "" });
    expect(await imageIds()).toEqual([one, one]);
    // The tag moves. Neither a replacement nor another deployment changes what runs, but a new tag does.
    const two = await build("two");
    await lab.berth(["service", "update", "--force", "--resolve-image", "never", "local_web"]);
    const again = await deploy(lab, "local", global);
    expect([again.code, again.stderr]).toEqual([
      0,
      expect.stringContaining("nodes have a different image with this tag"),
    ]);
    expect(await imageIds()).toEqual([one, one]);
    await docker(first, "tag", two, "local.invalid/web:2");
    expect(await deploy(lab, "local", global.replace("web:1", "web:2"))).toMatchObject({
      code: 0,
      stderr: "",
    });
    expect(await imageIds()).toEqual([two, two]);

    const list = async (): Promise<readonly string[]> =>
      JSON.parse((await lab.berth(["image", "ls", "-o", "json"])).stdout).map(({ id }: { id: string }) => id);
    expect([...(await list())].sort()).toEqual([one, two].sort());
    const used = await lab.berth(["image", "rm", two.slice("sha256:".length, 24)]);
    expect([used.code, used.stderr]).toEqual([1, expect.stringContaining("BERTH_IMAGE_IN_USE")]);
    expect((await lab.berth(["stack", "rm", "local"])).code).toBe(0);
    const isPruned = async (): Promise<boolean> => {
      await lab.berth(["image", "prune"]);
      return (await list()).length === 0;
    };
    await waitUntil(isPruned, { what: "the images to be removed", timeoutMs: CONVERGE_TIMEOUT_MS });
    // The image of the administrator stays.
    expect(await docker(first, "image", "inspect", "--format", "{{.Id}}", "local.invalid/web:1")).toBe(two);
    expect(await docker(second, "images", "-q", "--filter", "reference=berth.internal/*")).toBe("");
  });

  test("a service with build is built by the local Docker, and its image reaches all hosts", async () => {
    const [first] = lab.hosts;
    const directory = temporaryDirectory();
    const write = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text);
    await write(
      "Dockerfile",
      "FROM hello:1 AS base\nARG VERSION=0\nLABEL version=$VERSION\nFROM base AS prod\nCOPY . /app/\nFROM scratch\n",
    );
    await write(".dockerignore", "*.secret\n");
    await write("key.secret", "hidden");
    await write("page.txt", "one");
    const build = '{ context: ., target: prod, args: { VERSION: "7" } }';
    const service = (mode: string, isInit: boolean): string =>
      `{ build: ${build}, init: ${isInit}, stop_grace_period: 1s, deploy: { mode: ${mode}, update_config: { monitor: 1s } } }`;
    await write(
      "compose.yaml",
      `services:\n  web: ${service("global", false)}\n  worker: ${service("replicated", true)}\n`,
    );
    vi.stubEnv("DOCKER_HOST", `unix://${first?.dockerSocket}`);
    const deployBuilt = async (...options: readonly string[]): Promise<RunResult> => {
      const file = join(directory, "compose.yaml");
      const result = await lab.berth(["stack", "deploy", "-c", file, ...options, "built"]);
      expect(result.code, result.stderr).toBe(0);
      return result;
    };
    const planned = await deployBuilt("--dry-run");
    expect(planned.stderr).toContain("a dry run builds nothing");

    const { stderr } = await deployBuilt();
    expect(stderr.match(/^Building image .*$/gm)).toEqual([
      "Building image built-web of services web, worker",
    ]);
    const running = await listRunning(lab, "built_web");
    expect(running.map(({ host }) => host).sort()).toEqual(lab.hosts.map(({ name }) => name).sort());
    for (const { host, id } of running) {
      const docker = ["docker", "-H", `unix://${lab.host(host).dockerSocket}`];
      const label = await runOrThrow([...docker, "inspect", "--format", "{{.Config.Labels.version}}", id]);
      expect(label.trim()).toBe("7");
      const files = await runOrThrow(["sh", "-c", `${docker.join(" ")} cp ${id}:/app - | tar -t`]);
      expect(files).toContain("app/page.txt");
      expect(files).not.toContain("key.secret");
    }

    // The cache of the builder returns the same image, and a file that has changed leads to another one.
    expect((await deployBuilt()).stdout).toContain("Service built_web unchanged\n");
    await write("page.txt", "two");
    expect((await deployBuilt("--no-build")).stdout).toContain("Service built_web unchanged\n");
    expect((await deployBuilt("--quiet")).stderr).toBe("");
    expect((await listRunning(lab, "built_web")).map(({ id }) => id)).not.toContain(running[0]?.id);

    await write("Dockerfile", "FROM hello:1 AS prod\nCOPY missing /\n");
    const failed = await lab.berth(["stack", "deploy", "-c", join(directory, "compose.yaml"), "built"]);
    expect([failed.code, failed.stderr]).toEqual([
      1,
      expect.stringMatching(/image built-web of services web, worker was not built: .*missing/),
    ]);
    expect((await lab.berth(["stack", "rm", "built"])).code).toBe(0);

    const created = await lab.berth(["service", "create", "--name", "created", "built-web"]);
    expect([created.code, created.stdout]).toEqual([0, expect.stringContaining("Pushing image built-web")]);
    const inspected = await lab.berth(["service", "inspect", "-o", "json", "created"]);
    expect(inspected.stdout).toMatch(/"imageId": ?"sha256:[0-9a-f]{64}"/);
    expect((await lab.berth(["service", "rm", "created"])).code).toBe(0);
  });

  test("--push sends a built image to its registry, from which the hosts pull it", async () => {
    const [first] = lab.hosts;
    const directory = temporaryDirectory();
    const image = `${registry.address}/team/built:1`;
    const file = join(directory, "compose.yaml");
    await writeFile(
      file,
      `services:\n  web:\n    image: ${image}\n    build:\n      dockerfile_inline: |\n        FROM hello:1\n        LABEL pushed=yes\n`,
    );
    vi.stubEnv("DOCKER_HOST", `unix://${first?.dockerSocket}`);
    vi.stubEnv("DOCKER_CONFIG", await registry.writeClientConfig("first"));
    const { code, stderr } = await lab.berth(["stack", "deploy", "-c", file, "--push", "pushed"]);
    expect(code, stderr).toBe(0);
    const { stdout } = await lab.berth(["service", "inspect", "-o", "json", "pushed_web"]);
    expect(stdout).toMatch(/"imageDigest": ?"sha256:[0-9a-f]{64}"/);
    expect((await lab.berth(["stack", "rm", "pushed"])).code).toBe(0);
  });

  test("a push that cannot succeed on a node names the node, and leaves the others and its disk as they were", async () => {
    const [first, second] = lab.hosts;
    const socketOf = (host: LabHost | undefined): string => `unix://${host?.dockerSocket}`;
    const docker = async (host: LabHost | undefined, ...args: readonly string[]): Promise<string> =>
      (await runOrThrow(["docker", "-H", socketOf(host), ...args])).trim();
    const push = (
      host: LabHost | undefined,
      image: string,
      ...nodes: readonly string[]
    ): Promise<RunResult> => {
      const env = { ...lab.cliEnv(), DOCKER_HOST: socketOf(host) };
      return lab.berth(["image", "push", ...nodes.flatMap((node) => ["--node", node]), image], { env });
    };
    const load = (host: LabHost | undefined, name: string, architecture?: string): Promise<TestImage> =>
      createLayers(2, LAYER_BYTES).then((layers) =>
        loadTestImage(layers, {
          name,
          dockerSocket: host?.dockerSocket ?? "",
          signal: AbortSignal.timeout(CONVERGE_TIMEOUT_MS),
          ...(architecture === undefined ? {} : { architecture }),
        }),
      );
    const listed = async (): Promise<Readonly<Record<string, readonly string[]>>> => {
      const images: readonly { readonly id: string; readonly nodes: readonly string[] }[] = JSON.parse(
        (await lab.berth(["image", "ls", "-o", "json"])).stdout,
      );
      return Object.fromEntries(images.map(({ id, nodes }) => [id, nodes]));
    };
    const both = ["h1", "h2"];

    // Two machines push the same tag at once. Each content arrives whole, under its own ID.
    const twins = await Promise.all([
      load(first, "local.invalid/twin:1"),
      load(second, "local.invalid/twin:1"),
    ]);
    const pushes = await Promise.all([
      push(first, "local.invalid/twin:1", ...both),
      push(second, "local.invalid/twin:1", ...both),
    ]);
    expect(pushes.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect(await listed()).toMatchObject(Object.fromEntries(twins.map(({ id }) => [id, both])));

    // An image for another platform.
    await load(first, "local.invalid/foreign:1", process.arch === "arm64" ? "amd64" : "arm64");
    const unplaced = await push(first, "local.invalid/foreign:1");
    expect([unplaced.code, unplaced.stderr]).toEqual([
      1,
      expect.stringContaining("no connected node accepts tasks for linux/"),
    ]);
    const foreign = await push(first, "local.invalid/foreign:1", "h2");
    expect([foreign.code, foreign.stderr]).toEqual([
      1,
      expect.stringMatching(
        /node h2 did not store \S+: image .* is for linux\/\w+, but this node is linux\//,
      ),
    ]);

    // The disk of one node is full.
    const large = await load(first, "local.invalid/large:1");
    const layers = join(second?.agentDataDir ?? "", "layers");
    await second?.exec(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", layers]);
    const full = await push(first, "local.invalid/large:1", ...both);
    const leftOnFull = await second?.exec(["ls", layers]);
    await second?.exec(["umount", layers]);
    expect([full.code, full.stderr]).toEqual([
      1,
      expect.stringMatching(/node h2 did not store \S+: the disk of \S+ has \d+ MiB free, but/),
    ]);
    expect(leftOnFull?.stdout).toBe("");
    expect(await listed()).toMatchObject({ [large.id]: ["h1"] });
    expect(await push(first, "local.invalid/large:1", ...both)).toMatchObject({ code: 0, stderr: "" });
    expect(await listed()).toMatchObject({ [large.id]: both });

    expect((await lab.berth(["image", "prune"])).code).toBe(0);
    const pruned = [...twins, large].map(({ id }) => id);
    const left = await listed();
    expect(pruned.filter((id) => id in left)).toEqual([]);
    for (const host of lab.hosts) {
      const images = await docker(
        host,
        "images",
        "-q",
        "--no-trunc",
        "--filter",
        "reference=berth.internal/*",
      );
      expect(pruned.filter((id) => images.includes(id))).toEqual([]);
      const partial = await host.exec(["sh", "-c", `ls ${host.agentDataDir}/layers | grep -c partial`]);
      expect(partial.stdout.trim()).toBe("0");
    }
  });

  test("registry-logins: no password is on the disk of a host or server, in a log or in the audit log", async () => {
    const { dataDir } = labPaths(lab.name);
    const audit = (await lab.berth(["audit"])).stdout;
    expect(audit).toContain("login stored for user ci");
    for (const { password } of Object.values(PASSWORDS)) {
      const encoded = Buffer.from(`${USER}:${password}`).toString("base64");
      for (const text of [password, encoded, Buffer.from(password).toString("base64").slice(0, -4)]) {
        expect(await run(["grep", "-rlaF", text, dataDir])).toMatchObject({ code: 1, stdout: "" });
        expect(audit).not.toContain(text);
      }
    }
  });
});
