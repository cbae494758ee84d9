import {
  type DeployStackRequest,
  type FieldChange,
  FileContent,
  FileKind,
  type FileMount,
  FileOutcome_Kind as Kind,
  MAX_FILE_BYTES,
  PutFileRequest,
  ServiceOutcome_Kind,
  StreamAuditRequest,
  StreamEventsRequest,
} from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

const FIRST = "hunter2-first";
const SECOND = "hunter2-second";
const THIRD = "hunter2-third";
const SECRET_NAME = "shop_password";

let server: TestServer;
let calls: TestServer["calls"];

beforeEach(async () => {
  server = await context.cluster.startServer();
  calls = server.calls;
});

const secret = (content: string, over: Partial<FileContent> = {}): FileContent =>
  FileContent.fromPartial({
    kind: FileKind.SECRET,
    name: SECRET_NAME,
    content: Buffer.from(content),
    ...over,
  });

const mounted = (name = SECRET_NAME, kind: FileKind = FileKind.SECRET): Partial<FileMount> => ({
  ...{ kind, name, target: `/run/secrets/${name}` },
});

/** A deployment of a service on node a, with a secret. */
const withSecret = (content: string, options: Partial<DeployStackRequest> = {}): DeployStackRequest =>
  deployment([service("web", { constraints: ["node.hostname == a"], files: [mounted()] })], {
    files: [secret(content)],
    ...options,
  });

/** Returns the ID of the version that the service names. */
async function versionIdOf(name = "shop_web"): Promise<string> {
  const { service: summary } = await calls.getService({ service: name });
  return summary?.service?.spec?.task?.container?.files[0]?.versionId ?? "";
}

async function versionsOf(name = SECRET_NAME, kind = FileKind.SECRET): Promise<readonly number[]> {
  const { versions } = await calls.getFile({ kind, name });
  return versions.map(({ version }) => version);
}

const contentsOf = (agent: FakeAgent): readonly string[] =>
  [...agent.files.values()].map(({ content }) => Buffer.from(content).toString());

async function startTwo(): Promise<readonly [FakeAgent, FakeAgent]> {
  const [own] = await context.cluster.startAgents(["a"]);
  const [other] = await context.cluster.startAgents(["b"]);
  if (own === undefined || other === undefined) throw new Error("the agents did not start");
  return [own, other];
}

/** Returns every value in etcd, in the encodings in which a content could be in it. */
async function storedTexts(): Promise<readonly string[]> {
  const { entries } = await readAll(
    context.cluster.openStore().store,
    { prefix: ROOT },
    AbortSignal.timeout(30_000),
  );
  const encoded = [...JSON.stringify(entries.map(({ value }) => value)).matchAll(/[A-Za-z0-9+/=]{12,}/g)];
  return [
    ...entries.map(({ key, value }) => `${key} ${value}`),
    ...encoded.map(([text]) => Buffer.from(text, "base64").toString("latin1")),
  ];
}

describe("a secret", () => {
  test("reaches only the node of its task, and is nowhere in clear outside of it", async () => {
    const [own, other] = await startTwo();
    const deployed = await calls.deployStack(withSecret(FIRST));
    expect(deployed.files).toEqual([
      { fileKind: FileKind.SECRET, name: SECRET_NAME, kind: Kind.CREATED, version: 1 },
    ]);
    await converged(calls, "shop_web");
    expect([...own.files.keys()]).toEqual([await versionIdOf()]);
    expect(contentsOf(own)).toEqual([FIRST]);
    expect(other.received.flatMap(({ files }) => files)).toEqual([]);

    const texts = await storedTexts();
    expect(texts.some((text) => text.startsWith(`${ROOT}files/`))).toBe(true);
    expect(texts.join("\n")).not.toContain(FIRST);

    const { versions, uses, content } = await calls.getFile({ kind: FileKind.SECRET, name: SECRET_NAME });
    expect(uses).toEqual([{ service: "shop_web", version: 1, tasksWithOtherVersions: 0 }]);
    expect(content).toHaveLength(0);
    const { files } = await calls.listFiles({ kind: FileKind.SECRET, stack: "shop" });
    for (const file of [...versions, ...files]) {
      expect(file).toMatchObject({ name: SECRET_NAME, version: 1, sizeBytes: FIRST.length });
      expect([file.sealedContent.length, file.contentMac.length]).toEqual([0, 0]);
    }
    const observed: unknown[] = [];
    for await (const record of calls.streamAudit(StreamAuditRequest.fromPartial({}))) observed.push(record);
    for await (const event of calls.streamEvents(StreamEventsRequest.fromPartial({}))) observed.push(event);
    expect(JSON.stringify(observed)).toContain(`secret ${SECRET_NAME} version 1`);
    expect(JSON.stringify(observed)).not.toContain(FIRST);
  });

  test("rolls its services with new content, and a rollback brings the old version back", async () => {
    const [own] = await startTwo();
    await calls.deployStack(withSecret(FIRST));
    await converged(calls, "shop_web");
    const first = await versionIdOf();

    const again = await calls.deployStack(withSecret(FIRST));
    expect(again.services[0]?.kind).toBe(ServiceOutcome_Kind.UNCHANGED);
    expect(again.files[0]?.kind).toBe(Kind.UNCHANGED);

    const { plan } = await calls.deployStack(withSecret(SECOND, { dryRun: true }));
    expect(plan?.files).toMatchObject([{ name: SECRET_NAME, kind: Kind.UPDATED, version: 2 }]);
    const changes: FieldChange[] | undefined = plan?.services[0]?.changes;
    expect(changes).toEqual([{ path: `secret ${SECRET_NAME}`, before: "version 1", after: "version 2" }]);
    expect(plan?.services[0]?.replacesTasks).toBe(true);
    expect(JSON.stringify(plan)).not.toContain(first);
    const otherPlan = await calls.deployStack(withSecret(THIRD, { dryRun: true }));
    expect(otherPlan.plan?.rev).not.toBe(plan?.rev);
    await expect(calls.deployStack(withSecret(THIRD, { planRev: plan?.rev ?? "" }))).rejects.toMatchObject({
      code: "BERTH_PLAN_CHANGED",
    });

    const updated = await calls.deployStack(withSecret(SECOND, { planRev: plan?.rev ?? "" }));
    expect(updated.services).toMatchObject([{ kind: ServiceOutcome_Kind.UPDATED, version: 2 }]);
    await converged(calls, "shop_web");
    await eventually("the node has only the new content", () => contentsOf(own).join() === SECOND);

    await calls.rollbackService({ service: "shop_web", toVersion: 1 });
    expect(await versionIdOf()).toBe(first);
    await converged(calls, "shop_web");
    await eventually("the node has only the old content", () => contentsOf(own).join() === FIRST);

    // A change of another part keeps the version that was rolled back to. A forced update moves to the newest.
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 2 }] });
    expect(await versionIdOf()).toBe(first);
    const { service: summary } = await calls.getService({ service: "shop_web" });
    const request = {
      service: "shop_web",
      spec: summary?.service?.spec,
      expectedVersion: 0,
      pushedImages: [],
    };
    await calls.updateService({ ...request, force: false });
    expect(await versionIdOf()).toBe(first);
    await calls.updateService({ ...request, force: true });
    expect(await versionIdOf()).not.toBe(first);
  });

  test("a secret with a new content updates every service that uses it", async () => {
    await startTwo();
    await calls.putFile(
      PutFileRequest.fromPartial({ file: secret(FIRST, { name: "shared" }), createOnly: true }),
    );
    const files = [mounted("shared")];
    await calls.deployStack(deployment([service("web", { files }), service("idle")]));
    const blog = deployment([service("web", { stack: "blog", files })], { stack: "blog" });
    await calls.deployStack(blog);
    const put = await calls.putFile(PutFileRequest.fromPartial({ file: secret(SECOND, { name: "shared" }) }));
    expect(put.outcome).toMatchObject({ kind: Kind.UPDATED, version: 2 });
    expect(put.services.map(({ name }) => name).sort()).toEqual(["blog_web", "shop_web"]);
    expect(await versionIdOf("shop_web")).toBe(await versionIdOf("blog_web"));
    const repeated = await calls.putFile(
      PutFileRequest.fromPartial({ file: secret(SECOND, { name: "shared" }) }),
    );
    expect(repeated).toMatchObject({ outcome: { kind: Kind.UNCHANGED, version: 2 }, services: [] });
    const unused = await calls.deployStack(blog);
    expect(unused.services[0]?.kind).toBe(ServiceOutcome_Kind.UNCHANGED);
  });

  test("keeps only the versions that a service can return to", async () => {
    await calls.deployStack(withSecret(FIRST));
    for (let index = 0; index < 14; index += 1) await calls.deployStack(withSecret(`${SECOND}-${index}`));
    // The current version of the service and 10 earlier ones are kept.
    await eventually("old versions are gone", async () => (await versionsOf()).length === 11);
    expect((await versionsOf()).at(0)).toBe(15);
  });

  test("a secret cannot be removed while a service uses it, and is gone with its stack", async () => {
    const [own] = await startTwo();
    await calls.deployStack(withSecret(FIRST));
    await converged(calls, "shop_web");
    const removal = { kind: FileKind.SECRET, names: [SECRET_NAME] };
    await expect(calls.removeFiles(removal)).rejects.toMatchObject({
      code: "BERTH_FILE_IN_USE",
      message: `no secret was removed: services still use ${SECRET_NAME} (shop_web); remove these services or their stacks first`,
    });
    await expect(calls.removeFiles({ ...removal, names: ["nope"] })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
    const removed = await calls.removeServices({ services: [], stack: "shop" });
    expect(removed.files).toMatchObject([{ name: SECRET_NAME, kind: Kind.REMOVED }]);
    await eventually("the secret is gone from the node", () => own.files.size === 0);
    await eventually("no record is left", async () => {
      const keys = await context.cluster.openStore().keys();
      return keys.every((key) => key.startsWith(`${ROOT}nodes/`));
    });
  });

  test("a secret is removed with prune, and its name can be used again at once", async () => {
    await calls.deployStack(withSecret(FIRST));
    const plain = deployment([service("web")], { prune: true });
    const pruned = await calls.deployStack(plain);
    expect(pruned.files).toMatchObject([{ name: SECRET_NAME, kind: Kind.REMOVED, version: 0 }]);
    const again = await calls.deployStack(withSecret(SECOND));
    expect(again.files).toMatchObject([{ name: SECRET_NAME, kind: Kind.CREATED }]);
    expect(again.services).toMatchObject([{ kind: ServiceOutcome_Kind.UPDATED }]);
  });

  test("survives a change of the leader, with its versions and users", async () => {
    const second = await context.cluster.startServer();
    const [own] = await startTwo();
    await calls.deployStack(withSecret(FIRST));
    await calls.deployStack(withSecret(SECOND));
    await converged(calls, "shop_web");
    await server.stop();
    calls = second.calls;
    await converged(calls, "shop_web");
    expect(await versionsOf()).toEqual([2, 1]);
    await eventually("the node got the secret from the new leader", () => own.completeSets > 1);
    expect(contentsOf(own)).toEqual([SECOND]);
    const again = await calls.deployStack(withSecret(SECOND));
    expect(again.files[0]?.kind).toBe(Kind.UNCHANGED);
  });
});

describe("deployStack() and putFile()", () => {
  test("deployStack() and putFile() report every missing secret with its service, and change nothing", async () => {
    const files = [mounted("nope"), mounted("none", FileKind.CONFIG)];
    const request = deployment([service("web", { files })], { files: [secret(FIRST)] });
    await expect(calls.deployStack(request)).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: [
        "stack shop was not deployed:",
        "  shop_web: task.container.files[0]: no such secret nope; create it with berth secret create nope",
        "  shop_web: task.container.files[1]: no such config none; create it with berth config create none",
      ].join("\n"),
    });
    expect((await calls.listFiles({ kind: FileKind.UNSPECIFIED, stack: "" })).files).toEqual([]);
  });

  test("deployStack() and putFile() refuse invalid contents and names of another owner", async () => {
    const put = (file: Partial<FileContent>, over: Partial<PutFileRequest> = {}) =>
      calls.putFile(PutFileRequest.fromPartial({ file: secret(FIRST, file), ...over }));
    await put({ name: "shared" });
    await expect(
      put({ name: "shared", content: Buffer.from(SECOND) }, { createOnly: true }),
    ).rejects.toMatchObject({
      code: "BERTH_CONFLICT",
    });
    // A repeated call, after the answer to the first one was lost.
    expect((await put({ name: "shared" }, { createOnly: true })).outcome?.kind).toBe(Kind.UNCHANGED);
    await expect(put({ name: "new" }, { updateOnly: true })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
    await expect(put({ content: Buffer.alloc(0), name: "a b" })).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringMatching(/name: .*\n.*content: the content is empty/),
    });
    await expect(put({ content: Buffer.alloc(1_100_000) })).rejects.toMatchObject({
      code: "BERTH_LIMIT_EXCEEDED",
    });
    const taking = deployment([service("web")], { files: [secret(FIRST, { name: "shared" })] });
    await expect(calls.deployStack(taking)).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringContaining("secret shared: name: it belongs to no stack"),
    });
  });

  test("store and deliver contents of the largest size, which need several transactions", async () => {
    const [own] = await startTwo();
    const names = ["a", "b", "c", "d"].map((name) => `shop_${name}`);
    const files = names.map((name) => secret("x".repeat(MAX_FILE_BYTES), { name }));
    const web = service("web", {
      constraints: ["node.hostname == a"],
      files: names.map((name) => mounted(name)),
    });
    const deployed = await calls.deployStack(deployment([web], { files }));
    expect(deployed.files.map(({ kind }) => kind)).toEqual(names.map(() => Kind.CREATED));
    await converged(calls, "shop_web");
    expect(contentsOf(own).map(({ length }) => length)).toEqual(names.map(() => MAX_FILE_BYTES));
  });

  test("store a config, whose content getFile() returns", async () => {
    const config = FileContent.fromPartial({
      kind: FileKind.CONFIG,
      name: "shop_nginx",
      content: Buffer.from("worker {{.Task.Slot}}"),
      isTemplate: true,
      labels: { team: "web" },
    });
    await calls.deployStack(deployment([service("web")], { files: [config] }));
    const { content, versions } = await calls.getFile({ kind: FileKind.CONFIG, name: "shop_nginx" });
    expect(content.toString()).toBe("worker {{.Task.Slot}}");
    expect(versions).toMatchObject([{ isTemplate: true, labels: { team: "web" }, stack: "shop" }]);
  });
});
