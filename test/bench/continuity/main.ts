// A stack serves new connections and kept ones while one thing after the other happens to it: which requests failed,
// and how long the slowest connection took. The goal is that none fails but those that were inside what died.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { REPO_ROOT } from "../../../deploy/lab/paths.js";
import { type BerthLab, withBerthLab } from "../bench-lab.js";
import type { Figure } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { waitUntilIdle } from "../wait-until-idle.js";
import { DISRUPTIONS, type Disruption, parseDisruptions } from "./disruptions.js";
import { describeRun, figuresOf, type Run } from "./figures.js";
import { type Path, parsePaths } from "./paths.js";
import { PORT, ServingStack } from "./serving-stack.js";
import { underTraffic } from "./traffic.js";

const IMAGE_SOURCE = join(REPO_ROOT, "test/bench/continuity/image");
const IMAGE = "continuity:bench";
const REPLICAS = 6;
const SERVER_GONE_S = 60;
/** Traffic before anything happens and after all of it has. */
const MARGIN_MS = 1_000;
const QUIET_TIMEOUT_MS = 3_000;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const events = parseDisruptions(context.options.events);
  const paths = parsePaths(context.options.paths);
  const serverGoneMs = Number(context.options["server-gone-s"] ?? SERVER_GONE_S) * 1_000;
  const runs: Run[] = [];
  for (const path of paths) {
    await withBerthLab({ tag: "k" }, context, async (stage) => {
      await takePath(stage, path);
      const stack = new ServingStack(stage, { image: IMAGE, replicas: REPLICAS, serverGoneMs });
      await stage.lab.loadImage(IMAGE_SOURCE, IMAGE);
      await stack.deploy();
      for (let run = 1; run <= stage.runs; run += 1) {
        for (const event of events) runs.push(await runEvent(stage, stack, { path, event }));
      }
    });
  }
  return figuresOf(runs, events, paths);
}

/** Agents of a lab choose by themselves. Theirs are started anew, to do as they are told. */
async function takePath({ lab, stacks, signal }: BerthLab, path: Path): Promise<void> {
  for (const host of lab.hosts) {
    host.extraAgentArgs = ["--ingress", path];
    await host.killProcess("agent");
    await host.startAgent();
  }
  await stacks.untilReady(signal);
}

async function runEvent(
  stage: BerthLab,
  stack: ServingStack,
  { path, event }: { readonly path: Path; readonly event: Disruption },
): Promise<Run> {
  const { signal, stacks, progress } = stage;
  await stacks.untilReady(signal);
  await stack.spreadReplicas();
  await waitUntilIdle(signal, QUIET_TIMEOUT_MS);
  stack.begin();
  let beganAtMs = 0;
  const { results, resent } = await underTraffic({ addresses: stack.addresses, port: PORT }, async () => {
    await sleep(MARGIN_MS, undefined, { signal });
    beganAtMs = Date.now();
    await event.happen(stack);
    await sleep(MARGIN_MS, undefined, { signal });
  });
  const run: Run = { path, event: event.name, results, resent, severedAtMs: stack.severedAtMs };
  progress(`${path}, ${event.name}: ${describeRun(run, beganAtMs)}`);
  await event.restore?.(stack);
  return run;
}

process.exitCode = await runBench(
  {
    name: "continuity",
    programs: { docker: ["dockerd", "--version"], nginx: ["nginx", "-v"] },
    options: {
      events: DISRUPTIONS.map(({ name }) => name).join(","),
      paths: "userspace,kernel",
      "server-gone-s": "SECONDS",
    },
    measure,
  },
  process.argv.slice(2),
);
