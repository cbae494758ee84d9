import {
  applySpecDefaults,
  DeployStackRequest,
  RegistryCredentials,
  RegistryLogin,
  ResolveImage,
  ServiceOutcome_Kind,
  ServiceSpec,
  TaskState,
  UpdateServiceRequest,
} from "@berth/proto";
import { beforeEach, expect, test } from "vitest";
import type { ImageResolution } from "../core/images/image-resolution.js";
import { buildNode, buildTask, idSequence } from "../core/testing/records.js";
import type { NodeInventory } from "../dispatcher/relays/image-inventories.js";
import type { ImageRequest } from "../dispatcher/relays/image-resolver.js";
import type { Decide } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { deployStack } from "./deploy-stack.js";
import { getService } from "./services.js";
import { rollbackService, updateService } from "./update-service.js";

const { CREATED, UPDATED, UNCHANGED } = ServiceOutcome_Kind;
const OLD = `sha256:${"a".repeat(64)}`;
const NEW = `sha256:${"b".repeat(64)}`;
const { signal } = new AbortController();

let state: ClusterState;
let revision = 0n;
let api: ApiContext;
/** The images in the registry, which all nodes can reach. */
let registry: Map<string, ImageResolution>;
let questions: ImageRequest[];
let unreachableNodes: Set<string>;
/** What the nodes answer about their images. */
let inventory: NodeInventory[];
/** Called when a call waits. Time passes at once. */
let onWait: () => void;

function apply(...changes: readonly Change[]): void {
  revision += 1n;
  state.apply(changes.map((change) => ({ change, revision })));
}

beforeEach(() => {
  state = new ClusterState();
  registry = new Map([["web:1", { kind: "resolved", digest: OLD }]]);
  questions = [];
  unreachableNodes = new Set();
  inventory = [];
  onWait = () => {};
  let nowMs = 0;
  const clock = {
    nowMs: () => nowMs,
    after: (delayMs: number, run: () => void) => {
      nowMs += delayMs;
      onWait();
      queueMicrotask(run);
      return () => {};
    },
  };
  const submit = async <T>(decide: Decide<T>): Promise<T> => {
    const { changes, result } = decide(state);
    apply(...changes);
    return result;
  };
  const imageInventories = { query: async () => ({ nodes: inventory, failures: new Map() }) };
  const imageResolver = {
    isConnected: (nodeId: string) => !unreachableNodes.has(nodeId),
    canResolveImages: (nodeId: string) => !unreachableNodes.has(nodeId),
    resolve: async (asked: readonly ImageRequest[]) => {
      questions.push(...asked);
      const failed: ImageResolution = { kind: "failed", reason: "connection refused" };
      return new Map(asked.map(({ image }) => [image, registry.get(image) ?? failed]));
    },
  };
  api = {
    state,
    writer: { submit },
    imageResolver,
    imageInventories,
    ingress: { ofService: () => [] },
    loginSealer: { open: () => "opened" },
    runtime: { ...systemRuntime, clock, newId: idSequence() },
  } as unknown as ApiContext;
  for (const [index, id] of ["n1", "n2", "n3"].entries()) {
    const description = { hostname: id, os: "linux", engineReady: true };
    apply({ kind: "put-node", node: buildNode({ id, description, labels: { rack: `r${index + 1}` } }) });
  }
});

function webSpec(name: string, image: string, constraints: string[] = []): ServiceSpec {
  return applySpecDefaults(
    ServiceSpec.fromPartial({
      ...{ name: `shop_${name}`, stack: "shop", placement: { constraints } },
      mode: { $case: "replicated", value: { replicas: 1 } },
      task: { container: { image } },
    }),
  );
}

const deploy = (
  services: ServiceSpec[],
  request: Parameters<typeof DeployStackRequest.fromPartial>[0] = {},
) => deployStack(DeployStackRequest.fromPartial({ stack: "shop", services, ...request }), api, signal);

async function update(request: Parameters<typeof UpdateServiceRequest.fromPartial>[0]) {
  const { service } = getService({ service: "shop_web" }, api);
  const { spec } = service?.service ?? {};
  const input = UpdateServiceRequest.fromPartial({ service: "shop_web", ...request });
  return updateService({ ...input, spec: input.spec ?? spec }, api, signal);
}

const containerOf = (name = "shop_web") => state.services.byName(name)?.spec?.task?.container;
const kindsOf = ({ services }: { services: readonly { kind: ServiceOutcome_Kind }[] }) =>
  services.map(({ kind }) => kind);

test("a deployment is a change exactly when the tag of an image has moved", async () => {
  const spec = webSpec("web", "web:1");
  expect(kindsOf(await deploy([spec]))).toEqual([CREATED]);
  expect(containerOf()).toMatchObject({ image: "web:1", imageDigest: OLD });
  expect(kindsOf(await deploy([spec]))).toEqual([UNCHANGED]);
  registry.set("web:1", { kind: "resolved", digest: NEW });
  const { plan } = await deploy([spec], { dryRun: true });
  expect(plan?.services[0]).toMatchObject({
    changes: [{ path: "task.container.image_digest", before: OLD, after: NEW }],
    replacesTasks: true,
  });
  expect(kindsOf(await deploy([spec], { planRev: plan?.rev ?? "" }))).toEqual([UPDATED]);
  expect(containerOf()?.imageDigest).toBe(NEW);
});

test("a plan is outdated when a tag has moved since", async () => {
  const { plan } = await deploy([webSpec("web", "web:1")], { dryRun: true });
  expect(plan?.services[0]?.changes).toContainEqual({
    path: "task.container.image_digest",
    before: "",
    after: OLD,
  });
  registry.set("web:1", { kind: "resolved", digest: NEW });
  await expect(deploy([webSpec("web", "web:1")], { planRev: plan?.rev ?? "" })).rejects.toMatchObject({
    code: "BERTH_PLAN_CHANGED",
  });
});

test("a rollback restores the digest without a question, although its tag has moved", async () => {
  await deploy([webSpec("web", "web:1")]);
  registry.set("web:1", { kind: "resolved", digest: NEW });
  await deploy([webSpec("web", "web:1")]);
  const asked = questions.length;
  await rollbackService({ service: "shop_web", toVersion: 1 }, api, signal);
  expect([containerOf()?.imageDigest, questions.length]).toEqual([OLD, asked]);
  const { revisions } = getService({ service: "shop_web" }, api);
  expect(revisions.map(({ imageDigest }) => imageDigest)).toEqual([OLD, NEW, OLD]);
});

test.each([
  { mode: ResolveImage.ALWAYS, kind: UPDATED, digest: NEW },
  { mode: ResolveImage.CHANGED, kind: UNCHANGED, digest: OLD },
  { mode: ResolveImage.NEVER, kind: UNCHANGED, digest: OLD },
])("a deployment with mode $mode of a moved tag leads to $digest", async ({ mode, kind, digest }) => {
  await deploy([webSpec("web", "web:1")]);
  registry.set("web:1", { kind: "resolved", digest: NEW });
  expect(kindsOf(await deploy([webSpec("web", "web:1")], { resolveImage: mode }))).toEqual([kind]);
  expect(containerOf()?.imageDigest).toBe(digest);
});

test("an update resolves only a new image unless it is forced, and ignores the digest of the client", async () => {
  await deploy([webSpec("web", "web:1")]);
  registry.set("web:1", { kind: "resolved", digest: NEW });
  const spec = webSpec("web", "web:1");
  const container = { ...spec.task?.container, image: "web:1", imageDigest: `sha256:${"c".repeat(64)}` };
  await update({ spec: { ...spec, labels: { a: "1" }, task: { ...spec.task, container } } });
  expect(containerOf()?.imageDigest).toBe(OLD);
  await update({ force: true, resolveImage: ResolveImage.NEVER });
  expect(containerOf()?.imageDigest).toBe(OLD);
  await update({ force: true });
  expect(containerOf()?.imageDigest).toBe(NEW);
  registry.set("web:2", { kind: "resolved", digest: OLD });
  await update({ spec: webSpec("web", "web:2") });
  expect(containerOf()).toMatchObject({ image: "web:2", imageDigest: OLD });
});

test("a registry that is down replaces no task, and a new service runs the tag", async () => {
  await deploy([webSpec("web", "web:1")]);
  registry.clear();
  const outcome = await deploy([webSpec("web", "web:1"), webSpec("api", "api:1"), webSpec("job", "api:1")]);
  expect(kindsOf(outcome)).toEqual([UNCHANGED, CREATED, CREATED]);
  expect([containerOf()?.imageDigest, containerOf("shop_api")?.imageDigest]).toEqual([OLD, ""]);
  expect(outcome.warnings).toEqual([
    expect.stringMatching(/^image web:1 .*: connection refused; shop_web keeps sha256:a{12}$/),
    expect.stringMatching(/^image api:1 .*: connection refused; each node may run a different version$/),
  ]);
  const updated = await update({ spec: webSpec("web", "web:2") });
  expect(updated.warnings).toEqual([expect.stringMatching(/^image web:2 could not be resolved/)]);
});

test("a deployment without connected nodes warns and uses the tag", async () => {
  unreachableNodes = new Set(["n1", "n2", "n3"]);
  const { warnings } = await deploy([webSpec("web", "web:1")]);
  expect(warnings).toEqual([expect.stringContaining("no node that could run it is connected")]);
  expect([containerOf()?.imageDigest, questions]).toEqual(["", []]);
});

test("a deployment after a change of the leader waits for the agents of nodes that could run it", async () => {
  unreachableNodes = new Set(["n1", "n2", "n3"]);
  onWait = () => unreachableNodes.delete("n2");
  const { warnings } = await deploy([webSpec("web", "web:1")]);
  expect([warnings, containerOf()?.imageDigest]).toEqual([[], OLD]);
  expect(questions.map(({ nodeId }) => nodeId)).toEqual(["n2"]);
  onWait = () => expect.fail("no agent can connect that could run it");
  await deploy([webSpec("new", "new:1", ["node.labels.rack == none"])]);
});

test("each image is asked for once, on a node that runs the service or could run it", async () => {
  await deploy([webSpec("web", "web:1"), webSpec("api", "web:1")]);
  expect(questions).toEqual([{ image: "web:1", nodeId: "n1", credentials: [] }]);
  questions = [];
  await deploy([webSpec("web", "web:1", ["node.labels.rack == r2"])]);
  expect(questions).toEqual([{ image: "web:1", nodeId: "n2", credentials: [] }]);
  questions = [];
  const serviceId = state.services.byName("shop_web")?.id ?? "";
  const running = { state: TaskState.RUNNING };
  apply({ kind: "put-task", task: buildTask({ id: "t1", serviceId, nodeId: "n3", status: running }) });
  await deploy([webSpec("web", "web:1", ["node.labels.rack == r2"])]);
  expect(questions).toEqual([{ image: "web:1", nodeId: "n3", credentials: [] }]);
  questions = [];
  const nowhere = await deploy([webSpec("new", "new:1", ["node.labels.rack == none"])]);
  expect(questions).toEqual([]);
  expect(nowhere.warnings).toContainEqual(expect.stringContaining("no node that could run it is connected"));
});

test("the node gets the logins for the registry of the image, those of the request first", async () => {
  const server = "registry.example.com";
  const login = { id: "l1", server, stack: "", username: "stored", sealedSecret: Buffer.from("sealed") };
  apply({ kind: "put-login", login: RegistryLogin.fromPartial(login) });
  const credentials = [
    RegistryCredentials.fromPartial({ server, username: "mine", secret: "a" }),
    RegistryCredentials.fromPartial({ server: "other.example.com", username: "mine", secret: "b" }),
  ];
  await deploy([webSpec("web", `${server}/web:1`)], { dryRun: true, registryLogins: { credentials } });
  expect(questions[0]?.credentials).toMatchObject([
    { server, username: "mine", secret: "a" },
    { server, username: "stored", secret: "opened" },
  ]);
  questions = [];
  await deploy([webSpec("web", "web:1")], { dryRun: true });
  expect(questions[0]?.credentials).toEqual([]);
});
