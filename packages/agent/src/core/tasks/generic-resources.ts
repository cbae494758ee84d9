import type { AssignedSpec } from "@berth/proto";
import type { TaskView } from "./task-view.js";

// A task reserves a number of generic resources of one kind. If the administrator has named a node's resources, for
// example with the UUIDs of GPUs, the agent selects which ones the task gets. The leader only counts them.

/** Swarm's prefix for the environment variables that list a container's resources. */
const VARIABLE_PREFIX = "DOCKER_RESOURCE_";

/** The resources that the administrator has declared, by kind: a count or names. */
export type DeclaredResources = Readonly<Record<string, number | readonly string[]>>;

export interface ResourcesView {
  /** The names that the administrator has declared, by kind. Contains no kinds that are only counted. */
  readonly declared: Readonly<Record<string, readonly string[]>>;
  /**
   * The resources assigned to other tasks on the node, as `KIND=NAME`. Undefined until all containers have been
   * inspected.
   */
  readonly taken: ReadonlySet<string> | undefined;
}

/** Returns the named resources for a container, as `KIND=NAME`, or undefined while too few are free. */
export function selectResources(
  spec: AssignedSpec,
  { declared, taken }: ResourcesView,
): readonly string[] | undefined {
  const selected: string[] = [];
  for (const [kind, count] of reservedNames(spec, declared)) {
    const names = (declared[kind] ?? []).map((name) => `${kind}=${name}`);
    const free = names.filter((name) => taken?.has(name) === false).slice(0, count);
    if (free.length < count) return undefined;
    selected.push(...free);
  }
  return selected;
}

/** Returns why the container cannot be created yet, or "" if its resources are free. */
export function resourceWait({ assignment, containers, resources }: TaskView): string {
  if (assignment === undefined || containers.length > 0) return "";
  const { spec } = assignment;
  if (selectResources(spec, resources) !== undefined) return "";
  const kinds = reservedNames(spec, resources.declared).map(([kind]) => kind);
  return `waiting for other tasks of this node to release resources: ${kinds.join(", ")}`;
}

/** Returns the environment variables that list a container's resources, as in Swarm: names, or the count of unnamed ones. */
export function resourceVariables(spec: AssignedSpec, selected: readonly string[]): readonly string[] {
  return reservedKinds(spec).map(([kind, count]) => {
    const names = selected.flatMap((resource) =>
      resource.startsWith(`${kind}=`) ? [resource.slice(kind.length + 1)] : [],
    );
    const value = names.length === 0 ? String(count) : names.join(",");
    return `${VARIABLE_PREFIX}${kind.toUpperCase()}=${value}`;
  });
}

function reservedNames(
  spec: AssignedSpec,
  declared: ResourcesView["declared"],
): readonly (readonly [kind: string, count: number])[] {
  return reservedKinds(spec).filter(([kind]) => Object.hasOwn(declared, kind));
}

function reservedKinds({ task }: AssignedSpec): readonly (readonly [kind: string, count: number])[] {
  const reserved = Object.entries(task?.reservations?.generic ?? {});
  return reserved.filter(([, count]) => count > 0).sort(([a], [b]) => (a < b ? -1 : 1));
}
