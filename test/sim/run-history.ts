import { check } from "./checks/checks.js";
import { buildCluster, type Cluster, startAll } from "./cluster/cluster.js";
import { injectFault } from "./cluster/inject.js";
import { World } from "./cluster/world.js";
import { describeEvent, type History } from "./history/history.js";
import { enterVirtualTime } from "./simulator/virtual-time.js";

/** After the faults everything has to be as it should be within L1's bound, with room for what was planned before. */
const SETTLE_MS = 90_000;

/** Many times what a history takes: something goes round in circles. */
const MAX_STEPS = 200_000;

export interface Violation {
  /** "I1" */
  readonly rule: string;
  readonly atMs: number;
  readonly what: string;
}

export interface HistoryResult {
  readonly history: History;
  readonly violations: readonly Violation[];
  readonly steps: number;
  readonly faults: number;
  readonly virtualMs: number;
  readonly traceHash: string;
  readonly trace: readonly string[];
}

/** Lives through one history. Nothing but the history decides what happens. */
export async function runHistory(
  history: History,
  options: { readonly keepsTrace: boolean },
): Promise<HistoryResult> {
  const world = new World({ history, keepsTrace: options.keepsTrace });
  const cluster = buildCluster(world);
  const checks = check(cluster);
  const leave = enterVirtualTime({
    scheduler: world.scheduler,
    rng: world.rng("node"),
    skewMs: (host) => world.skewMs(host),
  });
  // A real process would die of it.
  const onUnhandled = (error: unknown): void => {
    const who = world.scheduler.current?.name ?? "sim";
    world.bug(who, `unhandled: ${error instanceof Error ? error.stack : String(error)}`);
  };
  process.on("unhandledRejection", onUnhandled);
  try {
    startAll(cluster);
    plan(cluster);
    await world.scheduler.runUntil(history.healAtMs + SETTLE_MS, () => {
      return checks.isOver || world.scheduler.steps > MAX_STEPS;
    });
    checks.end();
  } finally {
    process.off("unhandledRejection", onUnhandled);
    leave();
  }
  return {
    history,
    violations: checks.violations,
    steps: world.scheduler.steps,
    faults: history.events.filter((each) => "fault" in each).length,
    virtualMs: world.scheduler.nowMs,
    traceHash: world.trace.hash,
    trace: world.trace.lines,
  };
}

/** Puts everything that is to happen into the time to come. */
function plan(cluster: Cluster): void {
  const { world, user } = cluster;
  const { scheduler, trace, history } = world;
  const open = new Set<() => void>();
  for (const event of history.events) {
    scheduler.after(event.atMs, undefined, () => {
      trace.note("sim", describeEvent(event).trim());
      if ("action" in event) return user.perform(event.action);
      const { fault } = event;
      const undo = injectFault(fault, cluster);
      const end = (): void => {
        if (!open.delete(end)) return;
        trace.note("sim", `${fault.kind} ends`);
        undo();
      };
      open.add(end);
      scheduler.after("forMs" in fault ? fault.forMs : 0, undefined, end);
    });
  }
  scheduler.after(history.healAtMs, undefined, () => {
    trace.note("sim", "faults stop");
    for (const end of [...open]) end();
    for (const server of cluster.servers) server.start();
    for (const host of cluster.hosts) {
      host.restorePower();
      host.startAgent();
    }
  });
}
