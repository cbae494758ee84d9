import { assertNever, DesiredState, type Service, type Task } from "@berth/proto";

/**
 * One change of one record. `task` is the record as it was decided upon, so that whoever writes can compare
 * (for `create-task` it is the new record). A plan never holds two actions for one task.
 */
export type Action =
  /** A new record: with a node (ASSIGNED), or NEW with the reason in its status. */
  | { readonly kind: "create-task"; readonly task: Task }
  /** A NEW task gets its node. */
  | { readonly kind: "assign-task"; readonly task: Task; readonly nodeId: string }
  /** A NEW task still has no node, for another reason than before. */
  | { readonly kind: "update-message"; readonly task: Task; readonly message: string }
  | { readonly kind: "set-desired"; readonly task: Task; readonly desired: EndState; readonly reason: string }
  /** Its node died: final, whatever the node may say later. */
  | { readonly kind: "mark-lost"; readonly task: Task; readonly reason: string }
  /** Its node is down: nobody knows how it is, until its agent says so. */
  | { readonly kind: "mark-adrift"; readonly task: Task; readonly reason: string }
  /** It has run well long enough for earlier failures of its slot to be forgiven. */
  | { readonly kind: "reset-restarts"; readonly task: Task }
  | { readonly kind: "delete-task"; readonly task: Task; readonly reason: string }
  /** What is known of the service as a whole has changed: its rollout, its job's run, its scale. */
  | { readonly kind: "update-service"; readonly service: Service; readonly reason: string }
  /** The service was to be removed and no task is left: its record, name and revisions go. */
  | { readonly kind: "remove-service"; readonly serviceId: string };

export type EndState = typeof DesiredState.SHUTDOWN | typeof DesiredState.REMOVE;

export interface Plan {
  /** In the order in which they should be written. Empty: nothing to do now. */
  readonly actions: readonly Action[];
  /** When to decide again even if nothing changes. */
  readonly requeueAtMs?: number;
  /** Why the service is not yet as it should be, for a person. */
  readonly problems: readonly string[];
}

/** One line for a log. */
export function describeAction(action: Action): string {
  switch (action.kind) {
    case "create-task":
      return `create ${label(action.task)} ${where(action.task)}`;
    case "assign-task":
      return `assign ${label(action.task)} to node ${action.nodeId}`;
    case "update-message":
      return `${label(action.task)} has no node: ${action.message}`;
    case "set-desired":
      return `${action.desired === DesiredState.REMOVE ? "remove" : "stop"} ${label(action.task)}: ${action.reason}`;
    case "mark-adrift":
      return `${label(action.task)} is out of reach: ${action.reason}`;
    case "mark-lost":
      return `${label(action.task)} is lost: ${action.reason}`;
    case "reset-restarts":
      return `${label(action.task)} runs well again`;
    case "delete-task":
      return `forget ${label(action.task)}: ${action.reason}`;
    case "update-service":
      return `service ${action.service.spec?.name ?? action.service.id}: ${action.reason}`;
    case "remove-service":
      return `forget service ${action.serviceId}: its last task is gone`;
    default:
      return assertNever(action);
  }
}

const label = (task: Task): string =>
  `task ${task.id} (${task.serviceName}${task.slot === 0 ? "" : `.${task.slot}`})`;

const where = (task: Task): string =>
  task.nodeId === "" ? `without a node: ${task.status?.message ?? ""}` : `on node ${task.nodeId}`;
