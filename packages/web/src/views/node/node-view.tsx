import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { call } from "../../app/api.js";
import { cluster } from "../../app/cluster.js";
import { canChange } from "../../app/session.js";
import type { Node } from "../../core/model/node.js";
import { isEnded, type Task } from "../../core/model/task.js";
import type { Usage } from "../../core/model/usage.js";
import { formatBytes, formatCount, formatCpuCount, formatCpus, formatDateTime } from "../../format/format.js";
import { ActionButton, ActionResult, useAction } from "../shared/action.js";
import { Details, Section } from "../shared/details.js";
import { EventList } from "../shared/event-list.js";
import { Inspect } from "../shared/inspect.js";
import { NodeStatusText } from "../shared/status.js";
import { TaskList } from "../shared/task-table.js";
import { useUsageOf } from "../shared/use-usage.js";

const AVAILABILITY_VALUES = {
  active: "AVAILABILITY_ACTIVE",
  pause: "AVAILABILITY_PAUSE",
  drain: "AVAILABILITY_DRAIN",
} as const;

/** A percent of one CPU. */
const NANO_CPUS_PER_PERCENT = 1e7;

/** One node: its resources, tasks, problems and availability. */
export function NodeView({ name }: { readonly name: string }): JSX.Element {
  void cluster.revision.value;
  const node = [...cluster.store.nodes.values()].find(({ hostname, id }) => hostname === name || id === name);
  if (node === undefined) return <p class="empty">There is no node {name}.</p>;
  return <NodeDetails key={node.id} node={node} />;
}

function NodeDetails({ node }: { readonly node: Node }): JSX.Element {
  void cluster.revision.value;
  const usage = useUsageOf(node.id);
  const tasks = tasksOf(node);
  return (
    <>
      <h1>
        Node {node.hostname} <NodeStatusText node={node} isCurrent={cluster.isCurrent.value} />
      </h1>
      <AvailabilityControl node={node} active={tasks.filter((task) => !isEnded(task)).length} />
      {node.problems.length > 0 && (
        <ul class="problems warning">
          {node.problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      )}
      <div class="columns">
        <Section title="Resources">
          <Resources node={node} usage={usage.nodes.get(node.id)} />
        </Section>
        <Section title="Host">
          <Details
            entries={[
              ["Reason", node.message],
              ["State since", formatDateTime(node.sinceMs)],
              ["Address", node.address],
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
      </div>
      <Section title="Tasks">
        <TaskList
          caption={`Tasks on ${node.hostname}`}
          tasks={tasks}
          usages={usage.tasks}
          empty="The node has no tasks."
        />
      </Section>
      <Section title="Events">
        <EventList events={cluster.events.filter(({ nodeId }) => nodeId === node.id)} limit={12} />
      </Section>
      <Inspect method="GetNode" request={{ node: node.id }} />
    </>
  );
}

/** How much of the node's CPUs and memory is reserved, and how much is used now. */
function Resources({
  node,
  usage,
}: {
  readonly node: Node;
  /** Undefined while it is not known. */
  readonly usage: Usage | undefined;
}): JSX.Element {
  const { nanoCpus, memoryBytes, reservedNanoCpus, reservedMemoryBytes } = node;
  const usedNanoCpus = (usage?.cpuPercent ?? 0) * NANO_CPUS_PER_PERCENT;
  return (
    <>
      {usage !== undefined && (
        <>
          <Meter
            text={`${formatCpuCount(usedNanoCpus)} of ${formatCpus(nanoCpus)} used`}
            value={usedNanoCpus}
            max={nanoCpus}
          />
          <Meter
            text={`${formatBytes(usage.memoryBytes)} of ${formatBytes(memoryBytes)} used`}
            value={usage.memoryBytes}
            max={memoryBytes}
          />
        </>
      )}
      <Meter
        text={`${formatCpuCount(reservedNanoCpus)} of ${formatCpus(nanoCpus)} reserved`}
        value={reservedNanoCpus}
        max={nanoCpus}
      />
      <Meter
        text={`${formatBytes(reservedMemoryBytes)} of ${formatBytes(memoryBytes)} reserved`}
        value={reservedMemoryBytes}
        max={memoryBytes}
      />
    </>
  );
}

interface MeterProps {
  readonly text: string;
  readonly value: number;
  readonly max: number;
}

/** A bar that shows how much of something is taken. */
function Meter({ text, value, max }: MeterProps): JSX.Element {
  return (
    <label class="meter">
      {text} <progress value={value} max={Math.max(1, max)} />
    </label>
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
      {node.availability === "drain" && <DrainProgress left={active} />}
    </>
  );
}

/** @param left number of tasks that have not stopped */
function DrainProgress({ left }: { readonly left: number }): JSX.Element {
  const first = useRef(left);
  first.current = Math.max(first.current, left);
  return (
    <div class="part">
      <p role="status" class="warning">
        {left === 0 ? "The node is drained." : `Draining: ${formatCount(left, "task")} left.`}
      </p>
      <progress aria-label="Stopped tasks" value={first.current - left} max={Math.max(1, first.current)} />
    </div>
  );
}
