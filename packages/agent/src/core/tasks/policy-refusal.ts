import { type AssignedTask, checkSpec, type HostFiles, type Mount, type Policy } from "@berth/proto";
import { fillTemplate } from "./task-names.js";
import type { Assignment, NodeFacts } from "./task-view.js";

/** The current policy, and the files on this host that it protects. */
export interface PolicyView {
  readonly policy: Policy;
  readonly files: HostFiles;
}

/**
 * Returns why the policy refuses a task, with the name of the rule, or undefined if it permits the task.
 *
 * The leader checks each spec when it is accepted. The agent checks again, because the policy may have changed since,
 * and because placeholders in paths and the directories of this agent are known only here.
 */
export function policyRefusal(
  { task, spec }: Assignment,
  { policy, files }: PolicyView,
  node: NodeFacts,
): string | undefined {
  const container = spec.task?.container;
  if (spec.task === undefined || container === undefined) return undefined;
  const mounts = container.mounts.map((mount) => withSource(mount, task, node));
  const subject = {
    stack: task.stack,
    task: { ...spec.task, container: { ...container, mounts } },
    ports: spec.ports,
  };
  const violations = checkSpec(subject, policy, files);
  return violations.length === 0 ? undefined : violations.map(({ message }) => message).join("; ");
}

/** Returns the mount with placeholders in its source replaced, as its container will see it. */
function withSource(mount: Mount, task: AssignedTask, node: NodeFacts): Mount {
  if (mount.kind?.$case !== "bind") return mount;
  const source = fillTemplate(mount.kind.value.source, task, node);
  return { ...mount, kind: { $case: "bind", value: { ...mount.kind.value, source } } };
}
