import { startChecks } from "./checks/checks.js";
import { buildCluster, type Cluster, startAll } from "./cluster/cluster.js";
import { injectFault } from "./cluster/inject.js";
import { World } from "./cluster/world.js";
import { describeEvent, type Fault, type History } from "./history/history.js";
import { enterVirtualTime } from "./simulator/virtual-time.js";

/** Maximum time for a cluster to converge after the last fault: the bound of L1 plus time for rollouts in progress. */
const CONVERGE_MS = 90_000;
/**
 * Delay after the last fault until an operator removes the former nodes of reinstalled hosts, for which at-most-one
 * tasks wait.
 */
const NODE_REMOVAL_MS = 5_000;
/**
 * Maximum number of steps: many times those of the longest history. A history that exceeds it is in an endless loop.
 */
const MAX_STEPS = 200_000;

export interface Violation {
  /** Identifier in the table of rules, such as "I1". */
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

/** Runs one history and checks every rule. The result depends on the history alone. */
export async function runHistory(
  history: History,
  options: { readonly keepsTrace: boolean },
): Promise<HistoryResult> {
  const world = new World({ history, keepsTrace: options.keepsTrace });
  const cluster = buildCluster(world);
  const checks = startChecks(cluster);
  const leave = enterVirtualTime({
    scheduler: world.scheduler,
    rng: world.rng("node"),
    skewMs: (host) => world.skewMs(host),
  });
  // An unhandled rejection ends a real process.
  const onUnhandled = (error: unknown): void => {
    const program = world.scheduler.current?.name ?? "sim";
    world.bug(program, `unhandled: ${error instanceof Error ? error.stack : String(error)}`);
  };
  process.on("unhandledRejection", onUnhandled);
  try {
    startAll(cluster);
    scheduleEvents(cluster);
    await world.scheduler.runUntil(history.healAtMs + CONVERGE_MS, () => {
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

/** Schedules all events of the history and the end of its faults. */
function scheduleEvents(cluster: Cluster): void {
  const { scheduler, trace, history } = cluster.world;
  const activeFaults = new Set<() => void>();
  for (const event of history.events) {
    scheduler.after(event.atMs, undefined, () => {
      trace.note("sim", describeEvent(event).trim());
      if ("action" in event) cluster.user.perform(event.action);
      else startFault(event.fault, cluster, activeFaults);
    });
  }
  scheduler.after(history.healAtMs, undefined, () => {
    trace.note("sim", "faults stop");
    for (const end of [...activeFaults]) end();
    for (const server of cluster.servers) server.start();
    for (const host of cluster.hosts) {
      host.restorePower();
      host.startAgent();
    }
  });
  scheduler.after(history.healAtMs + NODE_REMOVAL_MS, undefined, () => removeReplacedNodes(cluster));
}

function startFault(fault: Fault, cluster: Cluster, activeFaults: Set<() => void>): void {
  const { scheduler, trace } = cluster.world;
  const undo = injectFault(fault, cluster);
  const end = (): void => {
    if (!activeFaults.delete(end)) return;
    trace.note("sim", `${fault.kind} ends`);
    undo();
  };
  activeFaults.add(end);
  scheduler.after("forMs" in fault ? fault.forMs : 0, undefined, end);
}

/**
 * Removes the former nodes of reinstalled hosts, as `berth node rm --force` does. An at-most-one task of a node that is
 * down waits until the node is fenced. A reinstalled host cannot confirm that its former node no longer runs anything:
 * its kernel answers probes, but its disk is empty. Only an operator can confirm it.
 */
function removeReplacedNodes({ world, hosts, user }: Cluster): void {
  const hasAtMostOne = world.history.events.some(
    (event) => "action" in event && event.action.kind === "deploy" && event.action.definition.isAtMostOne,
  );
  if (!hasAtMostOne) return;
  for (const [host, { reinstallations }] of hosts.entries()) {
    for (let install = 0; install < reinstallations; install += 1) {
      user.perform({ kind: "remove-node", host, install, force: true });
    }
  }
}
