// `npm run bench -- commands`: compares the commands that work on one container with Docker's own on the same daemon.
// Sends a gigabyte, or `--mib N`, through `berth cp`, `run`, `attach` and `port-forward`, and measures the overhead of `berth run`.
import { loadHello, withBenchLab } from "../lab.js";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { CommandBench, type Transfer } from "./command-bench.js";

interface Size {
  readonly bytes: number;
  /** Number of container starts in each round, of which the median counts. */
  readonly starts: number;
}

const FULL: Size = { bytes: 1024 ** 3, starts: 10 };
const SMOKE: Size = { bytes: 8 * 1024 ** 2, starts: 1 };
const IMAGE = "hello:bench";
const MIB = 1024 ** 2;

const MIN_RATIO_TO_DOCKER_CP = 0.5;
const MAX_RUN_OVERHEAD_MS = 300;

interface Round {
  readonly mbPerS: Readonly<Record<Transfer, number>>;
  readonly berthRunMs: number;
  readonly dockerRunMs: number;
}

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const size = sizeOf(context);
  return withBenchLab({ tag: "c", hosts: 1, hasBerth: true }, context, async (lab) => {
    await loadHello(lab, IMAGE);
    const bench = await CommandBench.start({ lab, image: IMAGE, bytes: size.bytes, signal: context.signal });
    try {
      await bench.startTimes(1);
      const rounds: Round[] = [];
      for (let run = 1; run <= context.runs; run += 1) {
        rounds.push(await measureRound(bench, size, (line) => context.progress(`run ${run} ${line}`)));
      }
      return figuresOf(rounds);
    } finally {
      await bench.close();
    }
  });
}

function sizeOf({ isSmoke, options: { mib } }: BenchContext): Size {
  if (mib === undefined) return isSmoke ? SMOKE : FULL;
  const count = Number(mib);
  if (!Number.isInteger(count) || count < 1) throw new Error(`invalid --mib "${mib}"; use a number of MiB`);
  return { bytes: count * MIB, starts: FULL.starts };
}

async function measureRound(
  bench: CommandBench,
  { bytes, starts }: Size,
  progress: (line: string) => void,
): Promise<Round> {
  const mbPerS: Partial<Record<Transfer, number>> = {};
  for (const transfer of bench.transfers) {
    const seconds = await bench.transfer(transfer);
    mbPerS[transfer] = bytes / MIB / seconds;
    progress(`${transfer.padEnd(16)} ${(bytes / MIB / seconds).toFixed(0)} MiB/s`);
  }
  const { berth, docker } = await bench.startTimes(starts);
  progress(`run: berth ${median(berth).toFixed(0)} ms, docker ${median(docker).toFixed(0)} ms`);
  return {
    mbPerS: mbPerS as Record<Transfer, number>,
    berthRunMs: median(berth),
    dockerRunMs: median(docker),
  };
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const speeds = (transfer: Transfer): number[] => rounds.map(({ mbPerS }) => mbPerS[transfer]);
  const speed = (name: string, ours: Transfer, dockers: Transfer): Figure =>
    figureOf({ name, unit: "MiB/s", peer: { docker: median(speeds(dockers)) }, runs: speeds(ours) });
  const ratios = rounds.map(({ mbPerS }) =>
    Math.min(mbPerS["cp from"] / mbPerS["docker cp from"], mbPerS["cp to"] / mbPerS["docker cp to"]),
  );
  return [
    figureOf({
      name: "cli.cp_vs_docker",
      unit: "x",
      goal: { kind: "at-least", value: MIN_RATIO_TO_DOCKER_CP },
      runs: ratios,
    }),
    speed("cli.cp_from_mib_s", "cp from", "docker cp from"),
    speed("cli.cp_to_mib_s", "cp to", "docker cp to"),
    speed("cli.run_mib_s", "run", "docker run"),
    speed("cli.attach_mib_s", "attach", "docker attach"),
    speed("cli.port_forward_mib_s", "port-forward", "docker port"),
    figureOf({
      name: "cli.run_overhead_ms",
      unit: "ms",
      goal: { kind: "at-most", value: MAX_RUN_OVERHEAD_MS },
      peer: { docker_run: median(rounds.map(({ dockerRunMs }) => dockerRunMs)) },
      runs: rounds.map(({ berthRunMs, dockerRunMs }) => berthRunMs - dockerRunMs),
    }),
  ];
}

process.exitCode = await runBench(
  { name: "commands", programs: { docker: ["dockerd", "--version"] }, options: { mib: "N" }, measure },
  process.argv.slice(2),
);
