// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BerthError,
  type DeployStackRequest,
  FileKind,
  FileOutcome_Kind,
  NetworkOutcome_Kind,
  ResolveImage,
  TaskState,
} from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  createWebService,
  type FakeControlHandlers,
  watchedWebService,
  watching,
  webTask,
} from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

/** The tests wait in real time, and the machine may be busy. */
vi.setConfig({ testTimeout: 60_000 });

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

describe("stack deploy", () => {
  let cwd = "";
  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), "berth-cli-"));
    cleanUps.push(() => rm(cwd, { recursive: true }));
    await writeFile(
      join(cwd, "c.yaml"),
      "services: { web: { image: 'nginx:${TAG}', container_name: ws } }\n",
    );
    await writeFile(join(cwd, ".env"), "TAG=1.27\n");
  });

  test("prints the created networks and the warnings of the server", async () => {
    const deployStack: typeof createWebService = async (request, context) => ({
      ...(await createWebService(request, context)),
      networks: request.networks.map(({ name }) => ({
        networkId: "n1",
        name,
        kind: NetworkOutcome_Kind.CREATED,
      })),
      warnings: ["tasks on host-3 have no DNS names"],
    });
    const { code, out, err } = await berth("stack deploy -c c.yaml --detach shop", { deployStack }, { cwd });
    expect([code, out]).toEqual([0, "Creating network shop_default\nCreating service shop_web\n"]);
    expect(err).toContain("warning: tasks on host-3 have no DNS names\n");
  });

  test("a dry run says which images it does not build, and a deployment without Docker says what to do", async () => {
    const file = "services: { web: { build: . }, worker: { build: ., image: 'worker:1' } }\n";
    await writeFile(join(cwd, "c.yaml"), file);
    const requests: DeployStackRequest[] = [];
    const deployStack: typeof createWebService = async (request, context) => {
      requests.push(request);
      return createWebService(request, context);
    };
    const dryRun = await berth("stack deploy -c c.yaml --dry-run shop", { deployStack }, { cwd });
    expect(dryRun.err).toContain(
      "note: a dry run builds nothing; the plan assumes the images of the local Docker daemon: shop-web, worker:1\n",
    );
    expect(requests[0]?.services.map(({ task }) => task?.container?.image)).toEqual(["shop-web", "worker:1"]);
    const failed = await berth("stack deploy -c c.yaml shop", { deployStack }, { cwd });
    expect(failed.err).toContain("cannot build images: PATH is not set; start Docker, or use --no-build");
    const missing = await berth("stack deploy -c c.yaml --no-build shop", { deployStack }, { cwd });
    expect(missing.err).toContain("(BERTH_ENGINE_UNAVAILABLE)");
    const both = await berth("stack deploy -c c.yaml --no-build --push shop", { deployStack }, { cwd });
    expect(both.err).toContain("--push: cannot be combined with --no-build");
    expect(requests).toHaveLength(1);
  });

  test("sends Docker's credentials for the registries of the images only when it is asked to", async () => {
    const auth = Buffer.from("ci:hunter2").toString("base64");
    const auths = { "https://index.docker.io/v1/": { auth }, "other.io": { auth } };
    await writeFile(join(cwd, "config.json"), JSON.stringify({ auths }));
    const requests: DeployStackRequest[] = [];
    const deployStack: typeof createWebService = async (request, context) => {
      requests.push(request);
      return createWebService(request, context);
    };
    const options = { cwd, env: { DOCKER_CONFIG: cwd } };
    const line = "stack deploy -c c.yaml --detach";
    await berth(`${line} shop`, { deployStack }, options);
    const { out, err } = await berth(`${line} --with-registry-auth shop`, { deployStack }, options);
    const credentials = { server: "docker.io", username: "ci", secret: "hunter2", isIdentityToken: false };
    expect(requests.map(({ registryLogins }) => registryLogins)).toEqual([
      undefined,
      { credentials: [credentials] },
    ]);
    expect(out).toBe("Storing registry login for docker.io as ci\nCreating service shop_web\n");
    expect(`${out}${err}`).not.toContain("hunter2");
    // A dry run needs no credentials.
    await writeFile(join(cwd, "config.json"), "no JSON");
    const dryRun = await berth(
      "stack deploy -c c.yaml --dry-run --with-registry-auth shop",
      { deployStack },
      options,
    );
    expect(dryRun.err).not.toContain("config.json");
    expect(requests.at(-1)).toMatchObject({ dryRun: true, registryLogins: undefined });
    expect((await berth(`${line} --with-registry-auth shop`, {}, options)).code).toBe(2);
  });

  test.each([
    { options: "", mode: undefined },
    { options: "--resolve-image always", mode: ResolveImage.ALWAYS },
    { options: "--resolve-image changed", mode: ResolveImage.CHANGED },
    { options: "--resolve-image never", mode: ResolveImage.NEVER },
  ])("sends the mode of '$options'", async ({ options, mode }) => {
    const modes: (ResolveImage | undefined)[] = [];
    const deployStack: typeof createWebService = async (request, context) => {
      modes.push(request.resolveImage);
      return createWebService(request, context);
    };
    await berth(`stack deploy -c c.yaml --detach ${options} shop`, { deployStack }, { cwd });
    expect(modes).toEqual([mode]);
  });

  test("rejects an unknown mode of --resolve-image", async () => {
    const { code, err } = await berth("stack deploy -c c.yaml --resolve-image maybe shop", {}, { cwd });
    expect([code, err]).toEqual([2, expect.stringContaining("Allowed choices are always, changed, never")]);
  });

  test("sends secrets and configs, and prints their outcomes without their contents", async () => {
    const compose = `services: { web: { image: a, secrets: [key, old], configs: [settings] } }
secrets: { key: { file: key }, old: { external: true } }
configs: { settings: { content: "hunter2" } }
`;
    await writeFile(join(cwd, "files.yaml"), compose);
    await writeFile(join(cwd, "key"), "hunter2");
    const requests: DeployStackRequest[] = [];
    const deployStack: typeof createWebService = async (request, context) => {
      requests.push(request);
      const outcome = {
        fileKind: FileKind.SECRET,
        name: "shop_key",
        kind: FileOutcome_Kind.UPDATED,
        version: 3,
      };
      const files = [
        outcome,
        {
          ...outcome,
          fileKind: FileKind.CONFIG,
          name: "shop_settings",
          kind: FileOutcome_Kind.CREATED,
          version: 1,
        },
        { ...outcome, name: "shop_same", kind: FileOutcome_Kind.UNCHANGED, version: 1 },
        { ...outcome, name: "shop_gone", kind: FileOutcome_Kind.REMOVED, version: 0 },
      ];
      return { ...(await createWebService(request, context)), files };
    };
    const text = await berth("stack deploy -c files.yaml --detach shop", { deployStack }, { cwd });
    expect([text.code, text.out]).toMatchInlineSnapshot(`
      [
        0,
        "Updating secret shop_key (version 3)
      Creating config shop_settings
      Removing secret shop_gone
      Creating service shop_web
      ",
      ]
    `);
    expect(requests).toMatchObject([
      {
        files: [
          { kind: FileKind.SECRET, name: "shop_key", content: Buffer.from("hunter2") },
          { kind: FileKind.CONFIG, name: "shop_settings", content: Buffer.from("hunter2") },
        ],
        services: [
          {
            task: {
              container: { files: [{ name: "shop_key" }, { name: "old" }, { name: "shop_settings" }] },
            },
          },
        ],
      },
    ]);
    const json = await berth("stack deploy -c files.yaml --detach -o json shop", { deployStack }, { cwd });
    expect(JSON.parse(json.out)).toMatchObject({
      secrets: [
        { name: "shop_key", outcome: "updated", version: 3 },
        { name: "shop_same", outcome: "unchanged" },
        { name: "shop_gone", outcome: "removed" },
      ],
      configs: [{ name: "shop_settings", outcome: "created" }],
    });
    for (const { out, err } of [text, json]) expect(out + err).not.toContain("hunter2");
  });

  test("sends the specs, prints the progress and ends when all services have converged", async () => {
    const requests: DeployStackRequest[] = [];
    const { code, out, err } = await berth(
      "stack deploy -c c.yaml --prune shop",
      {
        deployStack: async (request, context) => {
          requests.push(request);
          return createWebService(request, context);
        },
        watchServices: watching(
          watchedWebService({ running: 0, converged: false }, [
            webTask({ status: { state: TaskState.PREPARING } }),
          ]),
          watchedWebService({}),
        ),
      },
      { cwd },
    );
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        0,
        "Creating service shop_web
      shop_web: 0/2 preparing 1
      shop_web: 2/2 running
      Deployed shop: 1 service, 2 tasks running
      ",
        "c.yaml:1:43: warning: services.web.container_name: containers are named after their service and slot: the name is used as a network alias instead
      ",
      ]
    `);
    expect(requests).toMatchObject([
      {
        stack: "shop",
        prune: true,
        services: [{ name: "shop_web", task: { container: { image: "nginx:1.27" } } }],
      },
    ]);
  });

  test("retries during an election", async () => {
    let calls = 0;
    const deployStack: FakeControlHandlers["deployStack"] = async (request, context) => {
      calls += 1;
      if (calls < 3) throw new BerthError({ code: "BERTH_NO_LEADER", message: "no server leads" });
      return createWebService(request, context);
    };
    expect((await berth("stack deploy -c c.yaml -d shop", { deployStack }, { cwd })).code).toBe(0);
    expect(calls).toBe(3);
  });

  test("--detach returns without watching", async () => {
    const { code, out } = await berth(
      "stack deploy -c c.yaml --detach shop",
      { deployStack: createWebService },
      { cwd },
    );
    expect([code, out]).toEqual([0, "Creating service shop_web\n"]);
  });

  test("-o json prints nothing but JSON on stdout", async () => {
    const handlers = { deployStack: createWebService, watchServices: watching(watchedWebService({})) };
    const { code, out } = await berth("stack deploy -c c.yaml -o json shop", handlers, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      stack: "shop",
      services: [{ name: "shop_web", outcome: "created" }],
    });
  });

  test("an invalid file is not sent to the server", async () => {
    await writeFile(join(cwd, "bad.yaml"), "services: { web: { imag: nginx } }\n");
    const { code, out, err } = await berth("stack deploy -c bad.yaml shop", {}, { cwd });
    expect([code, out, err]).toMatchInlineSnapshot(`
      [
        2,
        "",
        "bad.yaml:1:13: services.web: the service has no image
      bad.yaml:1:20: services.web.imag: unknown key "imag"; did you mean "image"?
      error: 2 errors in bad.yaml; nothing was deployed
      (BERTH_COMPOSE_INVALID)
      ",
      ]
    `);
  });

  test("marks the position of an error on a terminal", async () => {
    const stdin = "services:\n  web:\n    image: nginx\n    prots: []\n";
    const options = { cwd, stdin, isTty: true, env: { NO_COLOR: "1" } };
    const { code, err } = await berth("stack deploy -c - shop", {}, options);
    expect([code, err]).toMatchInlineSnapshot(`
      [
        2,
        "<stdin>:4:5: services.web.prots: unknown key "prots"; did you mean "ports"?
        4 |     prots: []
          |     ^^^^^
      error: 1 error in <stdin>; nothing was deployed
      (BERTH_COMPOSE_INVALID)
      ",
      ]
    `);
  });
});
