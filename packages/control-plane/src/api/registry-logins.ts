import {
  BerthError,
  credentialProblems,
  type ListRegistryLoginsResponse,
  type Node,
  NodeState,
  type PutRegistryLoginRequest,
  type PutRegistryLoginResponse,
  parseRegistryServer,
  RegistryCredentials,
  type RegistryLogin,
  type RemoveRegistryLoginRequest,
  type RemoveRegistryLoginResponse,
  registryOf,
} from "@berth/proto";
import { nodeName } from "../core/model/node-name.js";
import { isEnded } from "../core/model/task-state.js";
import { loginKey } from "../core/registries/registry-logins.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { decideLogins } from "./deploy/decide-logins.js";

/** Timeout of a login check, which exceeds the 30 s that an agent waits for Docker. */
const CHECK_TIMEOUT_MS = 40_000;

/** Lists all logins, those of stacks included, without their secrets. */
export function listRegistryLogins({ state }: ApiContext): ListRegistryLoginsResponse {
  const logins = [...state.logins.values()].sort((a, b) => (loginKey(a) < loginKey(b) ? -1 : 1));
  return { logins: logins.map(withoutSecret) };
}

/**
 * Stores the login for a registry for all stacks, if the registry accepts it. Agents with tasks whose images are in the
 * registry receive it at once, and use it for their next pull.
 *
 * @throws BerthError BERTH_INPUT_INVALID with all problems; BERTH_REGISTRY_LOGIN_REFUSED; BERTH_NODE_UNREACHABLE when
 *   no node can check the login
 */
export async function putRegistryLogin(
  { credentials = RegistryCredentials.fromPartial({}), skipCheck }: PutRegistryLoginRequest,
  context: ApiContext,
  signal: AbortSignal,
): Promise<PutRegistryLoginResponse> {
  const problems = credentialProblems(credentials);
  if (problems.length > 0) {
    throw new BerthError({
      code: "BERTH_INPUT_INVALID",
      message: `the login was not stored: ${problems.join("; ")}`,
    });
  }
  const checkedBy = skipCheck ? "" : await checkLogin(credentials, context, signal);
  const { writer, runtime, loginSealer: sealer } = context;
  const login = await writer.submit((state) => {
    const nowMs = runtime.wallClockMs();
    const { changes, logins } = decideLogins([credentials], {
      stack: "",
      state,
      sealer,
      nowMs,
      newId: () => runtime.newId(),
    });
    const [login] = logins;
    if (login === undefined) throw new Error("the login has no outcome");
    return { changes, result: login };
  }, signal);
  return { login: withoutSecret(login), checkedBy };
}

/**
 * Removes a login. Running tasks continue.
 *
 * @throws BerthError BERTH_NOT_FOUND
 */
export async function removeRegistryLogin(
  { server: name, stack }: RemoveRegistryLoginRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveRegistryLoginResponse> {
  const login = await writer.submit((state) => {
    const server = parseRegistryServer(name) ?? name;
    const storedLogin = state.logins.byKey(loginKey({ server, stack }));
    if (storedLogin === undefined) throw loginNotFoundError(name, stack);
    return { changes: [{ kind: "delete-login", loginId: storedLogin.id }], result: storedLogin };
  }, signal);
  return { login: withoutSecret(login) };
}

/**
 * Checks a login with the Docker daemon of a node, which has the mirrors and certificates of its registries. Returns
 * the hostname of the node.
 */
async function checkLogin(
  credentials: RegistryCredentials,
  { state, loginChecks }: ApiContext,
  signal: AbortSignal,
): Promise<string> {
  const { server, username } = credentials;
  const node = findCheckingNode(server, state);
  const hint = `try again, or store the login without a check (--skip-check)`;
  if (node === undefined) {
    throw new BerthError({
      code: "BERTH_NODE_UNREACHABLE",
      message: `the login for ${server} was not stored: no node is ready to check it; ${hint}`,
    });
  }
  const agentRequest = {
    nodeId: node.id,
    command: (requestId: string) =>
      ({ $case: "checkRegistryLogin", value: { requestId, credentials } }) as const,
    timeoutMs: CHECK_TIMEOUT_MS,
  };
  const { problem } = await loginChecks.request(agentRequest, signal).catch((error: unknown) => {
    if (!(error instanceof BerthError)) throw error;
    const { code, message } = error;
    throw new BerthError({
      code,
      message: `the login for ${server} was not stored: node ${nodeName(node)} cannot check it: ${message}; ${hint}`,
    });
  });
  if (problem === "") return nodeName(node);
  throw new BerthError({
    code: "BERTH_REGISTRY_LOGIN_REFUSED",
    message: `the login for ${server} was not stored: node ${nodeName(node)} could not log in as ${username}: ${problem}`,
  });
}

/** Returns a ready node, preferably one that gets the login anyway, because its tasks have images in the registry. */
function findCheckingNode(server: string, state: ClusterState): Node | undefined {
  const ready = [...state.nodes.values()].filter(isReady);
  return ready.find(({ id }) => usesRegistry(id, server, state)) ?? ready[0];
}

function isReady({ state, agentUnreachable, awaitsApproval, description }: Node): boolean {
  const isUp = state === NodeState.READY && !agentUnreachable && !awaitsApproval;
  return isUp && description?.engineReady === true;
}

function usesRegistry(nodeId: string, server: string, { tasks, services }: ClusterState): boolean {
  for (const task of tasks.ofNode(nodeId).values()) {
    if (isEnded(task)) continue;
    const spec = services.versions.specOf(task.serviceId, task.specVersion);
    if (registryOf(spec?.task?.container?.image ?? "") === server) return true;
  }
  return false;
}

/** Removes the fields that must never leave the servers. */
function withoutSecret(login: RegistryLogin): RegistryLogin {
  return { ...login, sealedSecret: Buffer.alloc(0) };
}

function loginNotFoundError(server: string, stack: string): BerthError {
  const owner = stack === "" ? "" : ` of stack ${JSON.stringify(stack.slice(0, 128))}`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `no login${owner} for registry ${JSON.stringify(server.slice(0, 128))}; see "berth registry ls"`,
  });
}
