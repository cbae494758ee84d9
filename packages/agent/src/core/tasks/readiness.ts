import { NetworkMode, PortSpec_Protocol } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import type { TaskView } from "./task-view.js";

/** A task counts as running after this time even if a port refuses: some programs listen only when there is work. */
export const PORT_TIMEOUT_MS = 10_000;
const FIRST_DELAY_MS = 20;
const MAX_DELAY_MS = 250;

/** The attempts to connect to the published ports of a task's container. */
export interface PortProbe {
  readonly containerId: string;
  readonly sinceMs: number;
  /** When the next attempt is due. */
  readonly nextMs: number;
  readonly delayMs: number;
  /** Ports that refused the last attempt. */
  readonly refused: readonly number[];
  /** True when no further attempt follows, whether or not a port refuses. */
  readonly isOver: boolean;
}

/** Where the host can connect to a container's ports. */
export interface ReadinessTargets {
  readonly address: string;
  readonly targets: readonly number[];
}

/**
 * Returns the ports that must accept connections before a task without a healthcheck counts as running, since its
 * service sends it connections from then on. Undefined when there are none, or when the host cannot reach them.
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

/** Returns true while the task is not ready because its ports have not accepted connections yet. */
export function isAwaitingPorts(view: TaskView, container: ObservedContainer): boolean {
  if (!isAlive(container) || readinessTargets(view, container) === undefined) return false;
  const probe = view.memory.portProbe;
  return probe?.containerId !== container.id || !probe.isOver;
}

/** Returns the state after an attempt. */
export function afterProbe(
  before: PortProbe | undefined,
  { containerId, refused }: { readonly containerId: string; readonly refused: readonly number[] },
  nowMs: number,
): PortProbe {
  const known = before?.containerId === containerId ? before : undefined;
  const sinceMs = known?.sinceMs ?? nowMs;
  const delayMs = known === undefined ? FIRST_DELAY_MS : Math.min(MAX_DELAY_MS, known.delayMs * 2);
  const isOver = refused.length === 0 || nowMs - sinceMs >= PORT_TIMEOUT_MS;
  return { containerId, sinceMs, nextMs: nowMs + delayMs, delayMs, refused, isOver };
}

/** Returns a message about ports that refuse connections, or "" when none does. */
export function refusalMessage({ portProbe }: TaskView["memory"]): string {
  if (portProbe === undefined || portProbe.refused.length === 0) return "";
  const ports = `port ${portProbe.refused.join(", ")}`;
  return portProbe.isOver
    ? `${ports} did not accept connections within ${PORT_TIMEOUT_MS / 1_000} s`
    : `waiting for ${ports} to accept connections`;
}
