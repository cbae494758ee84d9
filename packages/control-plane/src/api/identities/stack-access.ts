import {
  BerthError,
  type ControlServiceService,
  type FileVersion,
  matchesGlob,
  type ServiceSpec,
  UserRole,
} from "@berth/proto";
import { type Caller, describeCaller, LOCAL_USER, type RequestOf } from "@berth/proto/rpc";
import { fileKey, fileMounts } from "../../core/files/file-mounts.js";
import { rollbackTarget } from "../../core/orchestrator/rollback.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { findNetwork, findService } from "../lookup.js";
import { findTarget } from "../lookup-target.js";
import { findUser } from "./certificate-name.js";

/** Pattern that matches no stack. */
const NO_STACK = "";

type Control = typeof ControlServiceService;

/**
 * Returns the stacks that a call changes or inspects, or "" for services and networks without a stack, or undefined for
 * methods without stack limits: they only read, or are reserved for administrators.
 */
type StacksOf<Request> = ((request: Request, state: ClusterState) => readonly string[]) | undefined;

type StackRules = { readonly [Name in keyof Control]: StacksOf<RequestOf<Control[Name]>> };

/**
 * The stacks of the calls of each method. A deployer who is limited to some stacks can read like a viewer, and call the
 * other methods for these stacks only. Logs and commands in containers can reveal secrets, so they count as changes.
 */
const STACK_RULES: StackRules = {
  getCluster: undefined,
  // The deployment can take over a service or network of another stack with the same name.
  deployStack: ({ stack, services, networks, files }, state) => [
    stack,
    ...stacksOfFiles(files, state),
    ...services.flatMap((spec) => stacksOfNewFiles(spec, state.services.byName(spec.name)?.spec, state)),
    ...services.flatMap(({ name }) => state.services.byName(name)?.spec?.stack ?? []),
    ...networks.flatMap(({ name }) => state.networks.byName(name)?.spec?.stack ?? []),
  ],
  createService: ({ spec }, state) => [
    spec?.stack ?? "",
    ...stacksOfNewFiles(spec, undefined, state),
    state.services.byName(spec?.name ?? "")?.spec?.stack ?? spec?.stack ?? "",
  ],
  listServices: undefined,
  getService: undefined,
  scaleServices: ({ services }, state) => services.map(({ service }) => stackOfService(service, state)),
  updateService: ({ service, spec }, state) => [
    stackOfService(service, state),
    ...stacksOfNewFiles(spec, findService(state, service).spec, state),
  ],
  // An earlier version may mount a secret that an administrator has removed from the service since then.
  rollbackService: ({ service: reference, toVersion }, state) => {
    const service = findService(state, reference);
    const target = rollbackTarget(service, toVersion, state.services.versions.ofService(service.id));
    const restored = target.kind === "found" ? target.spec : undefined;
    return [service.spec?.stack ?? "", ...stacksOfNewFiles(restored, service.spec, state)];
  },
  removeServices: ({ services, stack }, state) => [
    ...(stack === "" ? [] : [stack]),
    ...services.map((service) => stackOfService(service, state)),
  ],
  watchServices: undefined,
  getServiceTraffic: undefined,
  listTasks: undefined,
  streamLogs: ({ target }, state) => [stackOfTarget(target, state)],
  exec: ({ message }, state) =>
    message?.$case === "start" ? [stackOfTarget(message.value.target, state)] : [],
  streamEvents: undefined,
  streamAudit: undefined,
  watchCluster: undefined,
  watchStats: undefined,
  listNodes: undefined,
  listPeers: undefined,
  getNode: undefined,
  updateNode: undefined,
  removeNode: undefined,
  rebalance: undefined,
  listNetworks: undefined,
  getNetwork: undefined,
  // Only a deployment creates networks of a stack.
  createNetwork: () => [""],
  removeNetworks: ({ networks }, state) =>
    networks.map((network) => findNetwork(state, network).spec?.stack ?? ""),
  listVolumes: undefined,
  createVolume: undefined,
  removeVolumes: undefined,
  pruneVolumes: undefined,
  listFiles: undefined,
  getFile: undefined,
  // New content of a secret or config does not change its stack.
  putFile: ({ file }, state) => {
    const existing = file === undefined ? [] : stacksOfFiles([file], state);
    return existing.length > 0 ? existing : [file?.stack ?? ""];
  },
  removeFiles: ({ kind, names }, state) =>
    stacksOfFiles(
      names.map((name) => ({ kind, name })),
      state,
    ),
  locateImages: ({ stack }) => [stack],
  pushImage: undefined,
  listImages: undefined,
  // An image belongs to no stack.
  removeImages: () => [""],
  listRegistryLogins: undefined,
  putRegistryLogin: undefined,
  removeRegistryLogin: undefined,
  getPolicy: undefined,
  setPolicy: undefined,
  join: undefined,
  renewCertificate: undefined,
  acceptNode: undefined,
  createJoinToken: undefined,
  getInstallScript: undefined,
  listJoinTokens: undefined,
  removeJoinToken: undefined,
  inviteUser: undefined,
  getCaller: undefined,
  createLogin: undefined,
  redeemLogin: undefined,
  listUsers: undefined,
  removeUser: undefined,
  listAuthorities: undefined,
  rotateAuthority: undefined,
  rotateEtcdAuthority: undefined,
  removeAuthority: undefined,
  finalizeUpgrade: undefined,
  rotateClusterKey: undefined,
  getClusterKey: undefined,
  addEtcdMember: undefined,
  promoteEtcdMember: undefined,
  listServers: undefined,
  removeServer: undefined,
  createBackup: undefined,
  getRestore: undefined,
  completeRestore: undefined,
};

/**
 * Checks that the caller may make this call for its stacks. Roles were checked before.
 *
 * @throws BerthError BERTH_PERMISSION_DENIED; BERTH_NOT_FOUND, BERTH_AMBIGUOUS for references that have no stack
 */
export function requireStackAccess(
  method: keyof Control,
  request: unknown,
  caller: Caller,
  state: ClusterState,
): void {
  const pattern = stackLimitOf(caller, state);
  const stacksOf = STACK_RULES[method] as StacksOf<unknown>;
  if (pattern === undefined || stacksOf === undefined) return;
  const denied = stacksOf(request, state).filter((stack) => !isAllowed(stack, pattern));
  if (denied.length === 0) return;
  const names = [...new Set(denied)].map((stack) => (stack === "" ? "services without a stack" : stack));
  throw new BerthError({
    code: "BERTH_PERMISSION_DENIED",
    message: `${describeCaller(caller)} may not change ${names.join(", ")} or look into its containers: the user is limited to the stacks ${JSON.stringify(pattern)}; ask an administrator`,
  });
}

/** Returns whether the caller may change the services of a stack. The role was checked before. */
export function mayChangeStack(caller: Caller, stack: string, state: Pick<ClusterState, "users">): boolean {
  const pattern = stackLimitOf(caller, state);
  return pattern === undefined || isAllowed(stack, pattern);
}

/** Returns whether the caller may see the environment of a stack's services: callers who may change them may. */
export function maySeeEnvironment(
  caller: Caller,
  stack: string,
  state: Pick<ClusterState, "users">,
): boolean {
  if (caller.kind !== "user" || caller.name === LOCAL_USER.name) return true;
  const user = findUser(caller.name, state.users);
  if (user === undefined || user.role === UserRole.VIEWER) return false;
  return mayChangeStack(caller, stack, state);
}

/** Returns the pattern of the stacks that a user is limited to, or undefined without a limit. */
function stackLimitOf(caller: Caller, { users }: Pick<ClusterState, "users">): string | undefined {
  if (caller.kind !== "user") return undefined;
  const user = findUser(caller.name, users);
  // The user was removed since the call arrived.
  if (user === undefined && caller.name !== LOCAL_USER.name) return NO_STACK;
  return user?.role === UserRole.DEPLOYER && user.stacks !== "" ? user.stacks : undefined;
}

/** A pattern such as * does not include services without a stack. */
function isAllowed(stack: string, pattern: string): boolean {
  return stack !== "" && matchesGlob(pattern, stack);
}

/**
 * Returns the stacks of the secrets and configs that a spec mounts in addition to the current spec: a caller who starts
 * a container with a secret can read the secret.
 */
function stacksOfNewFiles(
  spec: ServiceSpec | undefined,
  current: ServiceSpec | undefined,
  state: ClusterState,
): readonly string[] {
  const mounted = new Set(fileMounts(current).map(fileKey));
  return stacksOfFiles(
    fileMounts(spec).filter((file) => !mounted.has(fileKey(file))),
    state,
  );
}

/** Returns the stacks of the existing secrets and configs. */
function stacksOfFiles(
  files: readonly Pick<FileVersion, "kind" | "name">[],
  state: ClusterState,
): readonly string[] {
  return files.flatMap(({ kind, name }) => state.files.newest(kind, name)?.stack ?? []);
}

function stackOfService(reference: string, state: ClusterState): string {
  return findService(state, reference).spec?.stack ?? "";
}

function stackOfTarget(reference: string, state: ClusterState): string {
  const target = findTarget(state, reference);
  return stackOfId(target.kind === "task" ? target.task.serviceId : target.serviceId, state);
}

/** Returns the stack of a service, or "" for a removed service, whose tasks may still be stopping. */
function stackOfId(serviceId: string, state: ClusterState): string {
  return state.services.get(serviceId)?.spec?.stack ?? "";
}
