import { NetworkMode, PortSpec_Protocol } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import type { TaskView } from "./task-view.js";

/** After so long a task counts as running though a port accepts nothing: some open only when there is work for them. */
export const PORT_PATIENCE_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 250;

/** What became of the attempts to connect to the published ports of a task's container. */
export interface PortProbe {
  readonly containerId: string;
  readonly sinceMs: number;
  /** When the next attempt is due. */
  readonly nextMs: number;
  readonly pauseMs: number;
  /** Targets that refused the last attempt. */
  readonly refused: readonly number[];
  /** Refused or not, it is not tried again. */
  readonly isOver: boolean;
}

/** Where a container's ports can be tried from its host. */
export interface ReadinessTargets {
  readonly address: string;
  readonly targets: readonly number[];
}

/**
 * The ports that must accept connections before a task without a healthcheck counts as running, since its service is
 * sent connections from then on. Undefined: there are none, or they cannot be tried from here.
 */
export function readinessTargets(view: TaskView, container: ObservedContainer): ReadinessTargets | undefined {
  const { assignment, node } = view;
  if (container.health !== "none" || assignment?.spec.task === undefined) return undefined;
  const published = assignment.spec.ports.filter(({ protocol }) => protocol !== PortSpec_Protocol.UDP);
  const targets = [...new Set(published.map(({ target }) => target))];
  const isOnHost = assignment.spec.task.container?.networkMode === NetworkMode.HOST;
  const own = container.networks.find(({ address }) => address !== "")?.address;
  const address = isOnHost ? node.advertiseAddress : own;
  return targets.length === 0 || address === undefined ? undefined : { address, targets };
}

/** True while the task waits for its ports. */
export function isAwaitingPorts(view: TaskView, container: ObservedContainer): boolean {
  if (!isAlive(container) || readinessTargets(view, container) === undefined) return false;
  const watch = view.memory.portProbe;
  return watch?.containerId !== container.id || !watch.isOver;
}

/** What is known after an attempt. */
export function afterProbe(
  before: PortProbe | undefined,
  { containerId, refused }: { readonly containerId: string; readonly refused: readonly number[] },
  nowMs: number,
): PortProbe {
  const known = before?.containerId === containerId ? before : undefined;
  const sinceMs = known?.sinceMs ?? nowMs;
  const pauseMs = known === undefined ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, known.pauseMs * 2);
  const isOver = refused.length === 0 || nowMs - sinceMs >= PORT_PATIENCE_MS;
  return { containerId, sinceMs, nextMs: nowMs + pauseMs, pauseMs, refused, isOver };
}

/** For a person; empty when nothing refuses. */
export function refusalMessage({ portProbe: portWatch }: TaskView["memory"]): string {
  if (portWatch === undefined || portWatch.refused.length === 0) return "";
  const ports = `port ${portWatch.refused.join(", ")}`;
  return portWatch.isOver
    ? `${ports} did not accept connections within ${PORT_PATIENCE_MS / 1_000} s`
    : `waiting for ${ports} to accept connections`;
}
