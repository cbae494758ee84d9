import type { JSX } from "preact";
import { call } from "../../app/api.js";
import { cluster } from "../../app/cluster.js";
import { canChange } from "../../app/session.js";
import type { Node } from "../../core/model/node.js";
import { isEnded, type Task } from "../../core/model/task.js";
import { formatBytes, formatCount, formatCpus, formatDateTime } from "../../format/format.js";
import { ActionButton, ActionResult, useAction } from "../shared/action.js";
import { Details, Section } from "../shared/details.js";
import { EventList } from "../shared/event-list.js";
import { NodeStatusText } from "../shared/status.js";
import { TaskList } from "../shared/task-table.js";

const AVAILABILITY_VALUES = {
  active: "AVAILABILITY_ACTIVE",
  pause: "AVAILABILITY_PAUSE",
  drain: "AVAILABILITY_DRAIN",
} as const;

/** One node: its resources, tasks, problems and availability. */
export function NodeView({ name }: { readonly name: string }): JSX.Element {
  void cluster.revision.value;
  const node = [...cluster.store.nodes.values()].find(({ hostname, id }) => hostname === name || id === name);
  if (node === undefined) return <p class="empty">There is no node {name}.</p>;
  const tasks = tasksOf(node);
  return (
    <>
      <h1>
        Node {node.hostname} <NodeStatusText node={node} isCurrent={cluster.isCurrent.value} />
      </h1>
      <AvailabilityControl key={node.id} node={node} active={tasks.filter((task) => !isEnded(task)).length} />
      {node.problems.length > 0 && (
        <ul class="problems warning">
          {node.problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      )}
      <div class="columns">
        <Section title="Host">
          <Details
            entries={[
              ["Reason", node.message],
              ["State since", formatDateTime(node.sinceMs)],
              ["Address", node.address],
              ["Resources", <Resources node={node} />],
              ["System", `${node.os}/${node.architecture}`],
              ["Balancing", node.hasKernelPath ? "by the kernel" : "in user space"],
              ["Docker", node.engineVersion],
              ["Agent", node.agentVersion],
              ["Role", node.hostsServer ? "server and agent" : "agent"],
              ["Labels", labelsText(node)],
              ["ID", <code>{node.id}</code>],
            ]}
          />
        </Section>
        <Section title="Events">
          <EventList events={cluster.events.filter(({ nodeId }) => nodeId === node.id)} limit={12} />
        </Section>
      </div>
      <Section title="Tasks">
        <TaskList caption={`Tasks on ${node.hostname}`} tasks={tasks} empty="The node has no tasks." />
      </Section>
    </>
  );
}

/** How much of the node's CPUs and memory is reserved. */
function Resources({ node }: { readonly node: Node }): JSX.Element {
  return (
    <>
      <label>
        {formatCpus(node.reservedNanoCpus)} of {formatCpus(node.nanoCpus)} reserved{" "}
        <progress value={node.reservedNanoCpus} max={Math.max(1, node.nanoCpus)} />
      </label>
      <label>
        {formatBytes(node.reservedMemoryBytes)} of {formatBytes(node.memoryBytes)} reserved{" "}
        <progress value={node.reservedMemoryBytes} max={Math.max(1, node.memoryBytes)} />
      </label>
    </>
  );
}

function tasksOf(node: Node): readonly Task[] {
  return [...cluster.store.tasksOnNode(node.id)].flatMap((id) => cluster.store.tasks.get(id) ?? []);
}

function labelsText({ labels }: Node): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
}

/** Drains, pauses or activates a node. While it drains, shows how many tasks are left. */
function AvailabilityControl({
  node,
  active,
}: {
  readonly node: Node;
  readonly active: number;
}): JSX.Element {
  const action = useAction();
  const set = (availability: Node["availability"]) => async (): Promise<string> => {
    await call("UpdateNode", { node: node.id, availability: AVAILABILITY_VALUES[availability] });
    return `The availability of ${node.hostname} is now ${availability}.`;
  };
  return (
    <>
      {canChange.value && (
        <div class="actions">
          <ActionButton
            action={action}
            task={set("drain")}
            appearance="danger"
            isDisabled={node.availability === "drain"}
          >
            Drain
          </ActionButton>
          <ActionButton action={action} task={set("pause")} isDisabled={node.availability === "pause"}>
            Pause
          </ActionButton>
          <ActionButton action={action} task={set("active")} isDisabled={node.availability === "active"}>
            Activate
          </ActionButton>
          <ActionResult action={action} />
        </div>
      )}
      {node.availability === "drain" && (
        <p role="status" class="warning">
          {active === 0 ? "The node is drained." : `Draining: ${formatCount(active, "task")} left.`}
        </p>
      )}
    </>
  );
}
