import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { canChange } from "../../app/session.js";
import { type Replacement, replacementText, slotKey, taskName } from "../../core/model/task.js";
import { routePath } from "../../core/route/route.js";
import { formatDateTime } from "../../format/format.js";
import { Details, Section } from "../shared/details.js";
import { EventList } from "../shared/event-list.js";
import { TaskStatus } from "../shared/status.js";
import { TaskList } from "../shared/task-table.js";
import { TaskExec } from "./task-exec.js";
import { TaskLogs } from "./task-logs.js";

/** One task: its state with the reason, its log, and a terminal in its container. */
export function TaskView({ id }: { readonly id: string }): JSX.Element {
  void cluster.revision.value;
  const { store } = cluster;
  const task = store.tasks.get(id);
  if (task === undefined) return <p class="empty">There is no task {id}. It may have been removed.</p>;
  const node = store.nodes.get(task.nodeId);
  const name = taskName(task, node?.hostname);
  const others = [...store.tasks.values()].filter(
    (other) => slotKey(other) === slotKey(task) && other.id !== id,
  );
  return (
    <>
      <h1>
        Task {name} <TaskStatus task={task} node={node} isCurrent={cluster.isCurrent.value} />
      </h1>
      <div class="columns">
        <Section title="Details">
          <Details
            entries={[
              ["Reason", task.message],
              ["Exit code", task.exitCode === undefined ? "" : String(task.exitCode)],
              ["Error code", task.errorCode && <code>{task.errorCode}</code>],
              [
                "Service",
                <a href={routePath({ view: "service", name: task.serviceName })}>{task.serviceName}</a>,
              ],
              [
                "Node",
                node && <a href={routePath({ view: "node", name: node.hostname })}>{node.hostname}</a>,
              ],
              ["Version", `${task.specVersion}${task.isOutdated ? " (outdated)" : ""}`],
              ["Replaces", task.replaces && <ReplacedTask replaced={task.replaces} />],
              ["State since", formatDateTime(task.sinceMs || task.createdAtMs)],
              ["Running since", task.runningSinceMs === undefined ? "" : formatDateTime(task.runningSinceMs)],
              ["Created", formatDateTime(task.createdAtMs)],
              ["Health", task.health],
              ["Restarts", task.restarts > 0 ? String(task.restarts) : ""],
              ["ID", <code>{task.id}</code>],
            ]}
          />
        </Section>
        <Section title="Events">
          <EventList events={cluster.events.filter(({ taskId }) => taskId === id)} limit={12} />
        </Section>
      </div>
      <Section title="Logs">
        <TaskLogs key={id} target={id} fileName={name} />
      </Section>
      {canChange.value && task.state === "running" && (
        <Section title="Terminal">
          <TaskExec key={id} taskId={id} />
        </Section>
      )}
      <details class="part">
        <summary>Inspect</summary>
        <pre>{JSON.stringify(task, undefined, 2)}</pre>
      </details>
      <Section title="Other tasks of this slot">
        <TaskList caption="Other tasks of this slot" tasks={others} empty="None." />
      </Section>
    </>
  );
}

/** The task that was here before, and why it was replaced. */
function ReplacedTask({ replaced }: { readonly replaced: Replacement }): JSX.Element {
  const hostname = cluster.store.nodes.get(replaced.nodeId)?.hostname ?? "another node";
  return (
    <>
      a task on {hostname}: {replacementText(replaced)}
    </>
  );
}
