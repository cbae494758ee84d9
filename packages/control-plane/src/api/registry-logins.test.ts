import {
  BerthError,
  type DeployStackRequest,
  Node,
  NodeState,
  type RegistryCredentials,
  RegistryLogin,
  type RegistryLoginChecked,
  type Task,
} from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import { credentialsForImage } from "../core/registries/registry-logins.js";
import { buildSpec, buildTask, idSequence } from "../core/testing/records.js";
import type { AgentRequest } from "../dispatcher/relays/agent-replies.js";
import { ImageResolver } from "../dispatcher/relays/image-resolver.js";
import { createClusterKey } from "../identity/cluster-key.js";
import { createLoginSealer } from "../identity/login-sealer.js";
import type { Decide } from "../reconciler/writer.js";
import { systemRuntime } from "../runtime/runtime.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { summarizeChanges } from "./audit/summarize-changes.js";
import { deployStack } from "./deploy-stack.js";
import { listRegistryLogins, putRegistryLogin, removeRegistryLogin } from "./registry-logins.js";
import { removeServices } from "./services.js";
import { updateService } from "./update-service.js";

const { signal } = new AbortController();
const SECRET = "hunter2";
const sealer = createLoginSealer(createClusterKey());

let state: ClusterState;
let revision: bigint;
let written: Change[];
let agentRequests: AgentRequest[];
let answer: () => Promise<RegistryLoginChecked>;
let api: ApiContext;

function apply(changes: readonly Change[]): void {
  revision += 1n;
  state.apply(changes.map((change) => ({ change, revision })));
}

beforeEach(() => {
  state = new ClusterState();
  revision = 0n;
  written = [];
  agentRequests = [];
  answer = async () => ({ requestId: "", problem: "" });
  const submit = async <T>(decide: Decide<T>): Promise<T> => {
    const { changes, result } = decide(state);
    written.push(...changes);
    apply(changes);
    return result;
  };
  api = {
    state,
    writer: { submit },
    loginSealer: sealer,
    runtime: { ...systemRuntime, newId: idSequence() },
    imageInventories: { query: async () => ({ nodes: [], failures: new Map() }) },
    imageResolver: new ImageResolver({ runtime: systemRuntime, sessionOf: () => undefined }),
    loginChecks: {
      request: (agentRequest: AgentRequest) => {
        agentRequests.push(agentRequest);
        return answer();
      },
    },
  } as unknown as ApiContext;
  apply(["n1", "n2"].map((id) => ({ kind: "put-node", node: readyNode(id) })));
});

function readyNode(id: string): Node {
  const description = { hostname: `host-${id}`, engineReady: true };
  return Node.fromPartial({ id, state: NodeState.READY, description });
}

function credentials(change: Partial<RegistryCredentials> = {}): RegistryCredentials {
  return { server: "ghcr.io", username: "ci", secret: SECRET, isIdentityToken: false, ...change };
}

const put = (change: Partial<RegistryCredentials> = {}, skipCheck = false) =>
  putRegistryLogin({ credentials: credentials(change), skipCheck }, api, signal);

/** Deploys one service, with credentials if given. */
function deploy(logins?: readonly RegistryCredentials[], change: Partial<DeployStackRequest> = {}) {
  const spec = buildSpec({ name: "shop_web", stack: "shop", task: { container: { image: "ghcr.io/a:1" } } });
  const registryLogins = logins && { credentials: [...logins] };
  const request = { networks: [], files: [], prune: false, dryRun: false, planRev: "", ...change };
  return deployStack(
    { stack: "shop", services: [spec], registryLogins, pushedImages: [], ...request },
    api,
    signal,
  );
}

const serversOf = (stack: string): readonly string[] =>
  [...state.logins.ofStack(stack).values()].map(({ server }) => server).sort();

/** Returns the secrets for an image of the stack, in the order in which they are tried. */
const secretsFor = (image: string): readonly string[] =>
  credentialsForImage({ image, stack: "shop" }, state.logins, sealer).map(({ secret }) => secret);

describe("putRegistryLogin()", () => {
  it("stores a login that a node has checked, without its secret in clear", async () => {
    const { login, checkedBy } = await put();
    expect(checkedBy).toBe("host-n1");
    expect(agentRequests[0]?.command("r1")).toEqual({
      $case: "checkRegistryLogin",
      value: { requestId: "r1", credentials: credentials() },
    });
    expect(login).toMatchObject({
      server: "ghcr.io",
      username: "ci",
      stack: "",
      sealedSecret: Buffer.alloc(0),
    });
    expect(JSON.stringify(written)).not.toContain(SECRET);
    expect(summarizeChanges(written, new ClusterState())).toBe("registry login for ghcr.io as ci stored");
    expect(listRegistryLogins(api).logins).toEqual([login]);
    expect(secretsFor("ghcr.io/a")).toEqual([SECRET]);
  });

  it("replaces the login of the same registry, and keeps its id", async () => {
    const first = await put();
    const second = await put({ secret: "new" });
    expect(second.login?.id).toBe(first.login?.id);
    expect(secretsFor("ghcr.io/a")).toEqual(["new"]);
  });

  it("prefers a node that gets the login anyway", async () => {
    await deploy();
    const task: Task = buildTask({
      serviceId: state.services.byName("shop_web")?.id ?? "",
      specVersion: 1,
      nodeId: "n2",
    });
    apply([{ kind: "put-task", task }]);
    expect((await put()).checkedBy).toBe("host-n2");
    expect((await put({ server: "other.io" })).checkedBy).toBe("host-n1");
  });

  it("stores nothing when the registry refuses the login, or no node can check it", async () => {
    answer = async () => ({ requestId: "", problem: "unauthorized" });
    await expect(put()).rejects.toMatchObject({
      code: "BERTH_REGISTRY_LOGIN_REFUSED",
      message: "the login for ghcr.io was not stored: node host-n1 could not log in as ci: unauthorized",
    });
    answer = async () => {
      throw new BerthError({ code: "BERTH_NODE_UNREACHABLE", message: "its agent is not connected" });
    };
    await expect(put()).rejects.toMatchObject({ code: "BERTH_NODE_UNREACHABLE" });
    for (const nodeId of ["n1", "n2"]) apply([{ kind: "delete-node", nodeId }]);
    await expect(put()).rejects.toThrow("no node is ready to check it");
    expect(state.logins.ofStack("").size).toBe(0);
    expect((await put({}, true)).checkedBy).toBe("");
  });

  it("refuses invalid credentials with all problems, and without the secret", async () => {
    const error = await put({ server: "https://ghcr.io", username: "" }).catch((error: Error) => error);
    expect(error).toMatchObject({ code: "BERTH_INPUT_INVALID" });
    expect(String(error)).toContain("is not a registry such as ghcr.io; the username is empty");
    expect(String(error)).not.toContain(SECRET);
  });
});

describe("removeRegistryLogin()", () => {
  it("removes a login for all stacks, or of one stack", async () => {
    await put();
    await deploy([credentials()]);
    await removeRegistryLogin({ server: "https://ghcr.io", stack: "" }, api, signal);
    expect([serversOf(""), serversOf("shop")]).toEqual([[], ["ghcr.io"]]);
    const { login } = await removeRegistryLogin({ server: "ghcr.io", stack: "shop" }, api, signal);
    expect(RegistryLogin.fromPartial(login ?? {}).sealedSecret).toHaveLength(0);
    await expect(removeRegistryLogin({ server: "ghcr.io", stack: "" }, api, signal)).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
      message: 'no login for registry "ghcr.io"; see "berth registry ls"',
    });
  });
});

describe("the logins of a stack", () => {
  it("the logins of a stack have precedence in their stack, and the next deployment with credentials replaces them", async () => {
    await put({ secret: "named" });
    await deploy([credentials({ secret: "own" }), credentials({ server: "other.io" })]);
    expect(serversOf("shop")).toEqual(["ghcr.io", "other.io"]);
    expect(secretsFor("ghcr.io/a")).toEqual(["own", "named"]);
    await deploy();
    expect(serversOf("shop")).toEqual(["ghcr.io", "other.io"]);
    await deploy([credentials({ secret: "next" })]);
    expect(serversOf("shop")).toEqual(["ghcr.io"]);
    expect(secretsFor("ghcr.io/a")).toEqual(["next", "named"]);
    await deploy([]);
    expect(secretsFor("ghcr.io/a")).toEqual(["named"]);
  });

  it("a dry run neither stores logins nor adds them to the plan", async () => {
    const { plan } = await deploy([credentials()], { dryRun: true });
    expect(plan?.services).toHaveLength(1);
    expect(JSON.stringify(plan)).not.toContain(SECRET);
    expect(written).toEqual([]);
    await deploy([credentials()], { planRev: plan?.rev ?? "" });
    expect(serversOf("shop")).toEqual(["ghcr.io"]);
  });

  it("the logins of a stack are merged with those of an updated service", async () => {
    await deploy([credentials({ server: "other.io" }), credentials({ secret: "old" })]);
    const registryLogins = { credentials: [credentials({ secret: "new" })] };
    const request = {
      service: "shop_web",
      spec: undefined,
      expectedVersion: 0,
      force: false,
      registryLogins,
      pushedImages: [],
    };
    await updateService(request, api, signal);
    expect(serversOf("shop")).toEqual(["ghcr.io", "other.io"]);
    expect(secretsFor("ghcr.io/a")).toEqual(["new"]);
  });

  it("the logins of a stack are removed with its last service", async () => {
    await deploy([credentials()]);
    await removeServices({ services: ["shop_web"], stack: "" }, api, signal);
    expect(serversOf("shop")).toEqual([]);
  });

  it("the logins of a stack are removed when a deployment prunes all services", async () => {
    await deploy([credentials()]);
    await deploy(undefined, { services: [], prune: true });
    expect(serversOf("shop")).toEqual([]);
  });

  it("invalid logins are refused with all problems, and nothing is deployed", async () => {
    const invalid = [credentials({ secret: "" }), credentials()];
    await expect(deploy(invalid)).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message:
        "stack shop was not deployed:\n  registry_logins[0]: the password is empty\n  registry_logins[1]: ghcr.io is listed twice",
    });
    expect(written).toEqual([]);
  });
});
