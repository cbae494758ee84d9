import { NetworkMode, PortSpec_Protocol } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import type { TaskView } from "./task-view.js";

/**
 * Time after which a task counts as running even if a port refuses connections. Some programs only listen while they
 * have work.
 */
export const PORT_TIMEOUT_MS = 10_000;
/** Delay before the second check of a port. It doubles with each check. */
const FIRST_DELAY_MS = 20;
/** Maximum delay between two checks of a port. */
const MAX_DELAY_MS = 250;
/**
 * Number of consecutive timeouts after which a port counts as ready: the container may drop packets from its host. A
 * single timeout proves nothing, because a busy host responds late.
 */
export const MAX_TIMEOUTS = 5;

/** The result of connecting to a port. `unanswered`: the attempt timed out, or failed without a refusal. */
export type PortCheckResult = "accepted" | "refused" | "unanswered";

/** The ports of a container that did not accept a connection. */
export interface ProbedPorts {
  readonly containerId: string;
  readonly refused: readonly number[];
  readonly unanswered: readonly number[];
}

/** The attempts to connect to the published ports of a task's container. */
export interface PortProbe {
  readonly containerId: string;
  /** Time of the first attempt. */
  readonly startedMs: number;
  /** When the next attempt is due. */
  readonly nextAttemptMs: number;
  readonly delayMs: number;
  /** Ports that refused the last attempt. */
  readonly refused: readonly number[];
  /** Ports that did not respond to the last attempt. */
  readonly unanswered: readonly number[];
  /** Number of consecutive attempts to which a port did not respond. */
  readonly unansweredCount: number;
  /** Whether no further attempt follows. Some ports may still not accept connections. */
  readonly isOver: boolean;
}

/** Where the host can connect to a container's ports. */
export interface ReadinessTargets {
  readonly address: string;
  readonly ports: readonly number[];
}

/**
 * Returns the ports that must accept connections before a task without a healthcheck counts as running, because a running
 * task gets connections of its service. Returns undefined if there are none, or if the host cannot reach them.
 */
export function readinessTargets(view: TaskView, container: ObservedContainer): ReadinessTargets | undefined {
  const { assignment, node } = view;
  if (container.health !== "none" || assignment?.spec.task === undefined) return undefined;
  const published = assignment.spec.ports.filter(({ protocol }) => protocol !== PortSpec_Protocol.UDP);
  const ports = [...new Set(published.map(({ target }) => target))];
  const isOnHost = assignment.spec.task.container?.networkMode === NetworkMode.HOST;
  const containerAddress = container.networks.find(({ address }) => address !== "")?.address;
  const address = isOnHost ? node.advertiseAddress : containerAddress;
  return ports.length === 0 || address === undefined ? undefined : { address, ports };
}

/** Returns whether the task is not ready because its ports do not accept connections yet. */
export function isAwaitingPorts(view: TaskView, container: ObservedContainer): boolean {
  if (!isAlive(container) || readinessTargets(view, container) === undefined) return false;
  const probe = view.memory.portProbe;
  return probe?.containerId !== container.id || !probe.isOver;
}

/** Returns the state of the probe after an attempt. */
export function afterProbe(
  before: PortProbe | undefined,
  { containerId, refused, unanswered }: ProbedPorts,
  nowMs: number,
): PortProbe {
  const previousProbe = before?.containerId === containerId ? before : undefined;
  const startedMs = previousProbe?.startedMs ?? nowMs;
  const delayMs =
    previousProbe === undefined ? FIRST_DELAY_MS : Math.min(MAX_DELAY_MS, previousProbe.delayMs * 2);
  const unansweredCount = unanswered.length === 0 ? 0 : (previousProbe?.unansweredCount ?? 0) + 1;
  const isReady = refused.length === 0 && (unansweredCount === 0 || unansweredCount >= MAX_TIMEOUTS);
  const isOver = isReady || nowMs - startedMs >= PORT_TIMEOUT_MS;
  return {
    containerId,
    startedMs,
    nextAttemptMs: nowMs + delayMs,
    delayMs,
    refused,
    unanswered,
    unansweredCount,
    isOver,
  };
}

/** Returns a message about ports of a container that do not accept connections, or "" when all do. */
export function portMessage({ portProbe }: TaskView["memory"], { id }: ObservedContainer): string {
  if (portProbe?.containerId !== id) return "";
  const { refused, unanswered, isOver } = portProbe;
  // A port that never responds may drop packets from its host and still serve other clients.
  const pending = isOver ? refused : [...refused, ...unanswered];
  if (pending.length === 0) return "";
  const ports = `${pending.length === 1 ? "port" : "ports"} ${pending.join(", ")}`;
  return isOver
    ? `${ports} did not accept connections within ${PORT_TIMEOUT_MS / 1_000} s`
    : `waiting for ${ports} to accept connections`;
}
