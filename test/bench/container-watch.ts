import { waitUntil } from "../../deploy/lab/wait-until.js";
import { type DockerApi, filters } from "./docker-api.js";

interface ContainerEvent {
  readonly Action: string;
  readonly Actor: { readonly ID: string };
  readonly timeNano: number;
}

export interface WaitLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface ContainerWatch {
  /** Returns the number of running containers on all watched hosts. */
  readonly count: () => number;
  /** Returns the start times of containers since the watch began, sorted, in milliseconds since the epoch. */
  readonly startsMs: () => readonly number[];
  /**
   * Waits for `count` running containers, and confirms the number with the daemons' container lists. Returns the time
   * at which that many were first running, in milliseconds since the epoch.
   */
  readonly reach: (count: number, limits: WaitLimits) => Promise<number>;
  readonly close: () => void;
}

/**
 * Counts running containers with a label from the daemons' events. This is accurate to the millisecond, and spares the
 * daemons the load of polling.
 */
export async function watchContainers(apis: readonly DockerApi[], label: string): Promise<ContainerWatch> {
  const closed = new AbortController();
  const running = new Set<string>();
  const starts: number[] = [];
  const firstAtMs = new Map<number, number>();

  const apply = ({ Action, Actor, timeNano }: ContainerEvent): void => {
    if (Action === "die") running.delete(Actor.ID);
    if (Action !== "start") return;
    const atMs = timeNano / 1e6;
    running.add(Actor.ID);
    starts.push(atMs);
    if (!firstAtMs.has(running.size)) firstAtMs.set(running.size, atMs);
  };

  const query = filters({ type: ["container"], event: ["start", "die"], label: [label] });
  await Promise.all(
    apis.map(async (api) => {
      const events = await api.stream<ContainerEvent>(`/events?${query}`, closed.signal);
      for (const id of await runningIds(api, label)) running.add(id);
      follow(events, apply);
    }),
  );

  return {
    count: () => running.size,
    startsMs: () => [...starts].sort((a, b) => a - b),
    close: () => closed.abort(),
    reach: async (count, limits) => {
      const reached = async (): Promise<boolean> =>
        running.size >= count && (await countRunning(apis, label)) >= count;
      await waitUntil(reached, { what: `${count} running containers with ${label}`, ...limits });
      return firstAtMs.get(count) ?? Date.now();
    },
  };
}

/** Waits until no containers with the label are left, not even stopped ones. */
export async function waitUntilGone(
  apis: readonly DockerApi[],
  label: string,
  limits: WaitLimits,
): Promise<void> {
  const query = filters({ label: [label] });
  const gone = async (): Promise<boolean> => {
    const lists = await Promise.all(
      apis.map((api) => api.get<unknown[]>(`/containers/json?all=1&${query}`, limits.signal)),
    );
    return lists.flat().length === 0;
  };
  await waitUntil(gone, { what: `the containers with ${label} to be removed`, ...limits });
}

/** Removes every container with the label, including running ones. */
export async function removeAll(
  apis: readonly DockerApi[],
  label: string,
  signal: AbortSignal,
): Promise<void> {
  const query = filters({ label: [label] });
  for (const api of apis) {
    const containers = await api.get<{ Id: string }[]>(`/containers/json?all=1&${query}`, signal);
    const removals = containers.map(({ Id }) => api.call("DELETE", `/containers/${Id}?force=1`, { signal }));
    await Promise.all(removals);
  }
}

/** Waits until exactly `count` containers with the label are running. */
export async function waitUntilRunning(
  apis: readonly DockerApi[],
  label: string,
  { count, ...limits }: WaitLimits & { readonly count: number },
): Promise<void> {
  const reached = async (): Promise<boolean> => (await countRunning(apis, label)) === count;
  await waitUntil(reached, { what: `${count} containers with ${label} to run`, ...limits });
}

async function countRunning(apis: readonly DockerApi[], label: string): Promise<number> {
  const lists = await Promise.all(apis.map((api) => runningIds(api, label)));
  return lists.flat().length;
}

async function runningIds(api: DockerApi, label: string): Promise<string[]> {
  const list = await api.get<{ Id: string }[]>(`/containers/json?${filters({ label: [label] })}`);
  return list.map(({ Id }) => Id);
}

/** Applies events until the watch is closed or the host is lost, both of which end the stream with an error. */
function follow(events: AsyncIterable<ContainerEvent>, apply: (event: ContainerEvent) => void): void {
  const read = async (): Promise<void> => {
    for await (const event of events) apply(event);
  };
  read().catch(() => undefined);
}
