import {
  Authority_State,
  Availability,
  DesiredState,
  Health,
  JoinKind,
  NodeState,
  PortSpec_Mode,
  PortSpec_Protocol,
  Server_State,
  ServiceOutcome_Kind,
  TaskState,
  UserRole,
} from "@berth/proto";

// The names of states in tables and JSON. Scripts compare them, so they must not change.
const TASK_STATES = new Map<TaskState, string>([
  [TaskState.NEW, "pending"],
  [TaskState.ASSIGNED, "assigned"],
  [TaskState.PREPARING, "preparing"],
  [TaskState.STARTING, "starting"],
  [TaskState.RUNNING, "running"],
  [TaskState.COMPLETE, "complete"],
  [TaskState.FAILED, "failed"],
  [TaskState.SHUTDOWN, "shutdown"],
  [TaskState.REJECTED, "rejected"],
  [TaskState.LOST, "lost"],
]);
const DESIRED_STATES = new Map<DesiredState, string>([
  [DesiredState.RUNNING, "running"],
  [DesiredState.SHUTDOWN, "shutdown"],
  [DesiredState.REMOVE, "remove"],
]);
const HEALTHS = new Map<Health, string>([
  [Health.UNSPECIFIED, "none"],
  [Health.STARTING, "starting"],
  [Health.HEALTHY, "healthy"],
  [Health.UNHEALTHY, "unhealthy"],
  [Health.UNKNOWN, "unknown"],
]);
const NODE_STATES = new Map<NodeState, string>([
  [NodeState.READY, "ready"],
  [NodeState.DOWN, "down"],
]);
const AVAILABILITIES = new Map<Availability, string>([
  [Availability.ACTIVE, "active"],
  [Availability.PAUSE, "pause"],
  [Availability.DRAIN, "drain"],
]);
const OUTCOMES = new Map<ServiceOutcome_Kind, string>([
  [ServiceOutcome_Kind.CREATED, "created"],
  [ServiceOutcome_Kind.UPDATED, "updated"],
  [ServiceOutcome_Kind.UNCHANGED, "unchanged"],
  [ServiceOutcome_Kind.REMOVED, "removed"],
]);
const JOIN_KINDS = new Map<JoinKind, string>([
  [JoinKind.NODE, "node"],
  [JoinKind.SERVER, "server"],
  [JoinKind.USER, "user"],
]);
const SERVER_STATES = new Map<Server_State, string>([
  [Server_State.UP, "up"],
  [Server_State.DOWN, "down"],
  [Server_State.REMOVING, "removing"],
  [Server_State.REMOVED, "removed"],
]);
const AUTHORITY_STATES = new Map<Authority_State, string>([
  [Authority_State.ANNOUNCED, "announced"],
  [Authority_State.ISSUING, "issuing"],
  [Authority_State.RETIRING, "retiring"],
  [Authority_State.REMOVING, "removing"],
]);
const USER_ROLES = new Map<UserRole, string>([
  [UserRole.VIEWER, "viewer"],
  [UserRole.DEPLOYER, "deployer"],
  [UserRole.ADMIN, "admin"],
]);

/** Name of states that this release does not know. */
const UNKNOWN_STATE = "unknown";

export const DESIRED_STATE_NAMES: readonly string[] = [...DESIRED_STATES.values()];
export const TASK_STATE_NAMES: readonly string[] = [...TASK_STATES.values()];
export const NODE_STATE_NAMES: readonly string[] = [...NODE_STATES.values()];
export const AVAILABILITY_NAMES: readonly string[] = [...AVAILABILITIES.values()];

export const taskStateName = (state: TaskState): string => TASK_STATES.get(state) ?? UNKNOWN_STATE;
export const desiredStateName = (state: DesiredState): string => DESIRED_STATES.get(state) ?? UNKNOWN_STATE;
export const healthName = (health: Health): string => HEALTHS.get(health) ?? UNKNOWN_STATE;
export const nodeStateName = (state: NodeState): string => NODE_STATES.get(state) ?? UNKNOWN_STATE;
export const availabilityName = (availability: Availability): string =>
  AVAILABILITIES.get(availability) ?? UNKNOWN_STATE;
export const outcomeName = (kind: ServiceOutcome_Kind): string => OUTCOMES.get(kind) ?? UNKNOWN_STATE;
export const joinKindName = (kind: JoinKind): string => JOIN_KINDS.get(kind) ?? UNKNOWN_STATE;
export const authorityStateName = (state: Authority_State): string =>
  AUTHORITY_STATES.get(state) ?? UNKNOWN_STATE;
export const serverStateName = (state: Server_State): string => SERVER_STATES.get(state) ?? UNKNOWN_STATE;
export const userRoleName = (role: UserRole): string => USER_ROLES.get(role) ?? UNKNOWN_STATE;
export const protocolName = (protocol: PortSpec_Protocol): string =>
  protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
export const portModeName = (mode: PortSpec_Mode): string =>
  mode === PortSpec_Mode.HOST ? "host" : "ingress";

/** Returns `Running` for `running`. */
export function capitalize(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
