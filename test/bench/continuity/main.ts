// `npm run bench -- continuity`: sends requests to a stack during a series of disruptions, and measures how many
// requests fail and how slow new connections get. Only requests in flight on a killed process or host may fail.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { REPO_ROOT } from "../../../deploy/lab/paths.js";
import { type BerthLab, withBerthLab } from "../bench-lab.js";
import { startLoad } from "../load-generator.js";
import { describeLoad } from "../load-report.js";
import type { Figure } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { waitUntilIdle } from "../wait-until-idle.js";
import { DISRUPTIONS, type Disruption, SMOKE_DISRUPTIONS } from "./disruptions.js";
import { figuresOf, type Run } from "./figures.js";
import { parseList } from "./parse-list.js";
import { PATHS, type Path } from "./paths.js";
import { PORT, ServingStack, STACK_KINDS, type StackKind } from "./serving-stack.js";

const IMAGE_SOURCE = join(REPO_ROOT, "test/bench/continuity/image");
const IMAGE = "continuity:bench";
const SERVER_GONE_S = 60;
const SMOKE_SERVER_GONE_S = 5;
const SMOKE_PATHS = "kernel";
/** How long load runs before the disruption begins and after its effects are over. */
const MARGIN_MS = 1_000;
const IDLE_TIMEOUT_MS = 3_000;
/** New connections. One replica has to serve all that have waited at once. */
const REQUESTS_PER_SECOND: Readonly<Record<StackKind, number>> = { replicated: 500, single: 100 };
const SMOKE_REQUESTS_PER_SECOND = 50;
const LOAD = {
  port: PORT,
  kept: { clients: 32, everyMs: 100 },
  /** Longer than any reply may take, but shorter than a person would wait. */
  timeoutMs: 5_000,
};

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const { isSmoke, options } = context;
  const allNames = DISRUPTIONS.map(({ name }) => name);
  const names = parseList(
    options.events ?? (isSmoke ? SMOKE_DISRUPTIONS : undefined),
    allNames,
    "disruption",
  );
  const disruptions = DISRUPTIONS.filter(({ name }) => names.includes(name));
  const paths = parseList(options.paths ?? (isSmoke ? SMOKE_PATHS : undefined), PATHS, "path");
  const kinds = parseList(options.stacks, STACK_KINDS, "stack");
  const serverGoneS = Number(options["server-gone-s"] ?? (isSmoke ? SMOKE_SERVER_GONE_S : SERVER_GONE_S));
  const runs: Run[] = [];
  for (const path of paths) {
    await withBerthLab({ tag: "k" }, context, async (berthLab) => {
      await usePath(berthLab, path);
      await berthLab.lab.loadImage(IMAGE_SOURCE, IMAGE);
      for (const kind of kinds) {
        const matching = disruptions.filter(({ stacks = ["replicated"] }) => stacks.includes(kind));
        if (matching.length === 0) continue;
        const stack = new ServingStack(berthLab, { image: IMAGE, kind, serverGoneMs: serverGoneS * 1_000 });
        await stack.deploy();
        for (let run = 1; run <= berthLab.runs; run += 1) {
          for (const disruption of matching) {
            runs.push(await runDisruption(berthLab, stack, { path, disruption }));
          }
        }
      }
    });
  }
  return figuresOf(runs, disruptions, paths);
}

/** Restarts the lab's agents with a fixed path. By default, agents choose the path themselves. */
async function usePath({ lab, stacks, signal }: BerthLab, path: Path): Promise<void> {
  for (const host of lab.hosts) {
    host.extraAgentArgs = ["--ingress", path];
    await host.killProcess("agent");
    await host.startAgent();
  }
  await stacks.waitUntilReady(signal);
}

async function runDisruption(
  berthLab: BerthLab,
  stack: ServingStack,
  { path, disruption }: { readonly path: Path; readonly disruption: Disruption },
): Promise<Run> {
  const { signal, stacks, progress, isSmoke } = berthLab;
  const perSecond = isSmoke ? SMOKE_REQUESTS_PER_SECOND : REQUESTS_PER_SECOND[stack.kind];
  await stacks.waitUntilReady(signal);
  await stack.placeReplicas();
  await waitUntilIdle(berthLab, IDLE_TIMEOUT_MS);
  disruption.prepare?.();
  stack.begin();
  const { addresses, served } = stack;
  const load = startLoad({ ...LOAD, perSecond, addresses, onReply: (reply) => served.record(reply) });
  try {
    await sleep(MARGIN_MS, undefined, { signal });
    const originMs = Date.now();
    await disruption.run(stack);
    await sleep(MARGIN_MS, undefined, { signal });
    const { results, resent } = await load.stop();
    const { severedAtMs } = stack;
    const summary = describeLoad(results, { severedAtMs, originMs });
    progress(`${stack.kind}, ${path}, ${disruption.name}: ${summary}, ${resent} sent again`);
    if (disruption.updatesSecret) for (const line of served.describe(originMs)) progress(line);
    await disruption.restore?.(stack);
    const update = disruption.updatesSecret && served.update(originMs, stack.replicas);
    return { kind: stack.kind, path, disruption: disruption.name, results, severedAtMs, update };
  } finally {
    await load.stop();
  }
}

process.exitCode = await runBench(
  {
    name: "continuity",
    programs: { docker: ["dockerd", "--version"], nginx: ["nginx", "-v"] },
    options: {
      events: DISRUPTIONS.map(({ name }) => name).join(","),
      paths: PATHS.join(","),
      stacks: STACK_KINDS.join(","),
      "server-gone-s": "SECONDS",
    },
    measure,
  },
  process.argv.slice(2),
);
