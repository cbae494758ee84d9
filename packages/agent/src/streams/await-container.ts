import { setTimeout as sleep } from "node:timers/promises";

/**
 * Maximum time to wait for a container. An agent that has just started observes its containers within this time.
 * Shorter than the leader's timeout (5 s).
 */
const TIMEOUT_MS = 3_000;
/** Interval between two checks for the container. */
const POLL_MS = 50;

/**
 * Returns the container of a task. Waits for it, because the leader may send a request before an agent that has just
 * started has observed Docker. Returns undefined if the task has no container in time, or `signal` is aborted.
 */
export async function awaitContainer<Container>(
  containerOf: (taskId: string) => Container | undefined,
  taskId: string,
  signal: AbortSignal,
): Promise<Container | undefined> {
  const deadlineMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    const container = containerOf(taskId);
    if (container !== undefined || signal.aborted || performance.now() >= deadlineMs) return container;
    // An abort ends the pause early, and the next iteration returns.
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}
