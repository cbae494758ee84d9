// `npm run bench -- scale`: runs 100,000 tasks on 1,000 simulated hosts, with real servers, a real etcd that syncs to
// disk, and real connections.
import { type Figure, figureOf } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type ScaleRun, type ScaleSize, scaleRun } from "./scale-run.js";

const NODES = 1_000;
const TASKS = 100_000;
const SERVICES = 100;
const SMOKE_NODES = 20;
const SMOKE_TASKS = 200;
/** A host pulls the image before its first container starts, so reports follow the wave of assignments. */
const FULL_TIMING = { startMs: 10_000, settleMs: 5_000, idleWindowMs: 10_000 };
const SMOKE_TIMING = { startMs: 500, settleMs: 500, idleWindowMs: 1_000 };

const ASSIGNED_PER_S_GOAL = 10_000;
const NODE_LOSS_GOAL_MS = 100;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const size = sizeOf(context);
  const runs: ScaleRun[] = [];
  for (let run = 1; run <= context.runs; run += 1) {
    context.progress(`run ${run} of ${context.runs}`);
    runs.push(await scaleRun(size, context));
  }
  return figuresOf(runs);
}

/** @throws Error if an option is invalid */
function sizeOf({ options, isSmoke }: BenchContext): ScaleSize {
  const { nodes = isSmoke ? SMOKE_NODES : NODES, tasks = isSmoke ? SMOKE_TASKS : TASKS } = options;
  const timing = isSmoke ? SMOKE_TIMING : FULL_TIMING;
  const size = { nodes: Number(nodes), services: SERVICES, replicas: Number(tasks) / SERVICES, ...timing };
  if (!Number.isInteger(size.nodes) || size.nodes < 2)
    throw new Error(`invalid --nodes "${nodes}"; use 2 or more`);
  if (!Number.isInteger(size.replicas) || size.replicas < 1) {
    throw new Error(`invalid --tasks "${tasks}"; use a multiple of ${SERVICES}, the number of services`);
  }
  return size;
}

function figuresOf(runs: readonly ScaleRun[]): readonly Figure[] {
  const all = (value: (run: ScaleRun) => number): readonly number[] => runs.map(value);
  return [
    figureOf({
      name: "scale.tasks_per_s",
      unit: "tasks/s",
      goal: { kind: "at-least", value: ASSIGNED_PER_S_GOAL },
      runs: all(({ tasks, assignedMs }) => (tasks / assignedMs) * 1_000),
    }),
    figureOf({ name: "scale.assign_server_cpu_s", unit: "s", runs: all((run) => run.assignCpu.server) }),
    figureOf({ name: "scale.assign_etcd_cpu_s", unit: "s", runs: all((run) => run.assignCpu.etcd) }),
    figureOf({ name: "scale.assign_agents_cpu_s", unit: "s", runs: all((run) => run.assignCpu.agents) }),
    figureOf({ name: "scale.all_stored_running_s", unit: "s", runs: all((run) => run.runningMs / 1_000) }),
    figureOf({ name: "scale.drain_ms", unit: "ms", runs: all((run) => run.drainMs) }),
    figureOf({ name: "scale.server_mb", unit: "MB", runs: all((run) => run.serverMb) }),
    figureOf({ name: "scale.idle_server_cpu_percent", unit: "%", runs: all((run) => run.idleCpuPercent) }),
    figureOf({ name: "scale.node_detected_ms", unit: "ms", runs: all((run) => run.nodeDetectedMs) }),
    figureOf({
      name: "scale.node_loss_ms",
      unit: "ms",
      goal: { kind: "at-most", value: NODE_LOSS_GOAL_MS },
      runs: all((run) => run.nodeLossMs),
    }),
    figureOf({ name: "scale.leader_takeover_ms", unit: "ms", runs: all((run) => run.takeoverMs) }),
    figureOf({ name: "scale.agents_back_ms", unit: "ms", runs: all((run) => run.agentsBackMs) }),
  ];
}

process.exitCode = await runBench(
  {
    name: "scale",
    programs: { etcd: ["etcd", "--version"] },
    options: { nodes: "N", tasks: "N" },
    measure,
  },
  process.argv.slice(2),
);
