import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { isRollingOut, type Service } from "../../core/model/service.js";
import { type SlotProgress, type SlotRow, slotRows } from "../../core/model/slot.js";
import type { Task } from "../../core/model/task.js";
import { routePath } from "../../core/route/route.js";
import { formatDateTime, formatDuration } from "../../format/format.js";
import { DataTable } from "../shared/data-table.js";
import { TaskStatus } from "../shared/status.js";

const PROGRESS_SYMBOLS: Readonly<Record<SlotProgress, string>> = {
  new: "…",
  outdated: "○",
  updating: "◐",
  monitoring: "◔",
  updated: "✓",
  failed: "✕",
};
/** More slots do not fit onto a screen. */
const MAX_STRIP_SLOTS = 200;

/** The last rollout of a service, and each slot with its progress. */
export function RolloutView({
  service,
  tasks,
}: {
  readonly service: Service;
  readonly tasks: readonly Task[];
}): JSX.Element {
  const slots = [...cluster.store.slots.values()].filter(({ serviceId }) => serviceId === service.id);
  const rows = slotRows(slots, tasks);
  return (
    <>
      <RolloutProgress service={service} slots={rows.length} />
      {slots.length > 0 && <SlotStrip rows={rows} />}
      <SlotTable service={service} rows={rows} />
    </>
  );
}

/** The slots of a rollout at a glance. The table has the same content. */
function SlotStrip({ rows }: { readonly rows: readonly SlotRow[] }): JSX.Element {
  return (
    <ul class="slot-strip" aria-hidden="true">
      {rows.slice(0, MAX_STRIP_SLOTS).map(({ key, slot, rollout }) => (
        <li key={key} data-progress={rollout?.progress} title={rollout?.reason}>
          {slot > 0 ? slot : ""} {rollout?.progress && PROGRESS_SYMBOLS[rollout.progress]}
        </li>
      ))}
    </ul>
  );
}

function SlotTable({
  service,
  rows,
}: {
  readonly service: Service;
  readonly rows: readonly SlotRow[];
}): JSX.Element {
  const { nodes } = cluster.store;
  const hostname = (nodeId: string): string => nodes.get(nodeId)?.hostname ?? "none";
  const isCurrent = cluster.isCurrent.value;
  return (
    <DataTable
      caption={`Slots of ${service.name}`}
      rows={rows}
      keyOf={({ key }) => key}
      empty="The service has no tasks."
      columns={[
        {
          title: "Slot",
          cell: ({ slot, nodeId, task }) => {
            const name = slot > 0 ? String(slot) : hostname(nodeId);
            return task === undefined ? name : <a href={routePath({ view: "task", id: task.id })}>{name}</a>;
          },
        },
        { title: "Rollout", cell: ({ rollout, task }) => progressText(rollout?.progress, task) },
        { title: "Time left", cell: ({ rollout }) => timeLeft(rollout?.untilMs ?? 0), isNumber: true },
        { title: "Version", cell: ({ task }) => task?.specVersion, isNumber: true },
        {
          title: "State",
          cell: ({ task }) =>
            task && <TaskStatus task={task} node={nodes.get(task.nodeId)} isCurrent={isCurrent} />,
        },
        { title: "Node", cell: ({ task }) => task && hostname(task.nodeId) },
        {
          title: "Stopping",
          cell: ({ stopping }) =>
            stopping && `version ${stopping.specVersion} on ${hostname(stopping.nodeId)}`,
        },
        { title: "Reason", cell: ({ rollout, task }) => rollout?.reason || task?.message },
      ]}
    />
  );
}

function progressText(progress: SlotProgress | undefined, task: Task | undefined): string {
  if (progress !== undefined) return progress;
  return task?.isOutdated ? "outdated" : "";
}

function timeLeft(untilMs: number): string {
  return untilMs === 0 ? "" : formatDuration(untilMs - cluster.now());
}

function RolloutProgress({
  service,
  slots,
}: {
  readonly service: Service;
  readonly slots: number;
}): JSX.Element {
  const { rollout, rolloutDeadlineMs } = service;
  if (rollout === undefined) return <p class="note">No rollout so far.</p>;
  const { state, fromVersion, toVersion, updatedSlots, message, failedCount, endedAtMs } = rollout;
  const parts = [state.replaceAll("_", " "), failedCount > 0 && `${failedCount} failed`, message];
  return (
    <>
      <p>
        Rollout from version {fromVersion} to {toVersion}: {parts.filter(Boolean).join(", ")}
      </p>
      {isRollingOut(rollout) && (
        <label>
          {updatedSlots} of {slots} slots updated <progress value={updatedSlots} max={Math.max(1, slots)} />
        </label>
      )}
      {rolloutDeadlineMs > 0 && (
        <p class="note">Fails in {timeLeft(rolloutDeadlineMs)} unless another slot is updated.</p>
      )}
      {endedAtMs > 0 && <p class="note">Ended {formatDateTime(endedAtMs)}.</p>}
    </>
  );
}
