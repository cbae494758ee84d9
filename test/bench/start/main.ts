// `npm run bench -- start`: measures the time and memory of `berth version`, `--help`, completion and `node ls` in the
// packaged CLI. They take turns with an empty program in the same Node.js and with Docker's own commands.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../../../deploy/lab/lab.js";
import { REPO_ROOT } from "../../../deploy/lab/paths.js";
import { fetchNode, NATIVE_ARCHITECTURE } from "../../../deploy/package/node-release.js";
import { bundledProgram } from "../bundled-program.js";
import { withBenchLab } from "../lab.js";
import { Swarm } from "../peer/swarm.js";
import { type Figure, figureOf, type Goal, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { CommandMeter, type MeasuredCommand, type Usage } from "./measure-command.js";

const DEFAULT_RUNS = 20;
const NODE_CACHE = join(REPO_ROOT, "node_modules/.cache/node-releases");

const MAX_OVER_NODE_MS: Goal = { kind: "at-most", value: 40 };
const MAX_OVER_NODE_MB: Goal = { kind: "at-most", value: 12 };
const MAX_VERSION_MS: Goal = { kind: "at-most", value: 80 };
const MAX_COMPLETION_MS: Goal = { kind: "at-most", value: 60 };

const COMMANDS = [
  "node",
  "version",
  "help",
  "completion",
  "node ls",
  "docker version",
  "docker node ls",
] as const;
type CommandName = (typeof COMMANDS)[number];
type Commands = Readonly<Record<CommandName, MeasuredCommand>>;
/** Resource usage of each command, one element per round. */
type Usages = ReadonlyMap<CommandName, readonly Usage[]>;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "berth-bench-start-"));
  try {
    context.progress("bundling");
    const program = await bundledProgram(directory);
    const node = context.isSmoke ? process.execPath : await packagedNode();
    return await withBenchLab({ tag: "s", hosts: 1, hasBerth: true }, context, async (lab) => {
      const swarm = await Swarm.create(lab, 1, context.signal);
      try {
        const commands = commandsOf(lab, { node, program, home: directory });
        return figuresOf(await measureRounds(commands, new CommandMeter(directory, context.signal), context));
      } finally {
        swarm.close();
      }
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function packagedNode(): Promise<string> {
  const { executable } = await fetchNode(NATIVE_ARCHITECTURE, NODE_CACHE);
  return executable;
}

function commandsOf(
  lab: Lab,
  { node, program, home }: { readonly node: string; readonly program: string; readonly home: string },
): Commands {
  // Without a context, so that `berth version` queries no server.
  const alone = { PATH: process.env.PATH, HOME: home };
  const berth = [node, program];
  const docker = ["docker", "--host", `unix://${lab.hosts[0]?.dockerSocket ?? ""}`];
  return {
    node: { command: [node, "-e", "0"], env: alone },
    version: { command: [...berth, "version"], env: alone },
    help: { command: [...berth, "--help"], env: alone },
    completion: { command: [...berth, "__complete", "stack", "de"], env: alone },
    "node ls": { command: [...berth, "node", "ls"], env: lab.cliEnv() },
    "docker version": { command: [...docker, "version"], env: alone },
    "docker node ls": { command: [...docker, "node", "ls"], env: alone },
  };
}

async function measureRounds(
  commands: Commands,
  meter: CommandMeter,
  { runs, progress }: BenchContext,
): Promise<Usages> {
  // The first run reads the files from the disk.
  for (const name of COMMANDS) await meter.measure(commands[name]);
  const usages = new Map(COMMANDS.map((name): [CommandName, Usage[]] => [name, []]));
  for (let run = 1; run <= runs; run += 1) {
    for (const name of COMMANDS) usages.get(name)?.push(await meter.measure(commands[name]));
    progress(`run ${run} of ${runs}`);
  }
  return usages;
}

function figuresOf(usages: Usages): Figure[] {
  const of = (name: CommandName): readonly Usage[] => usages.get(name) ?? [];
  const ms = (name: CommandName): number[] => of(name).map((usage) => usage.ms);
  const mb = (name: CommandName): number[] => of(name).map((usage) => usage.mb);
  const difference = (ours: readonly number[], base: readonly number[]): number[] =>
    ours.map((value, run) => value - (base[run] ?? 0));
  const time = (name: string, runs: readonly number[], rest: Partial<Figure> = {}): Figure =>
    figureOf({ name: `start.${name}`, unit: "ms", runs, ...rest });
  return [
    time("version_over_node_ms", difference(ms("version"), ms("node")), { goal: MAX_OVER_NODE_MS }),
    figureOf({
      name: "start.version_over_node_mb",
      unit: "MB",
      goal: MAX_OVER_NODE_MB,
      runs: difference(mb("version"), mb("node")),
    }),
    time("packaged_version_ms", ms("version"), {
      goal: MAX_VERSION_MS,
      peer: { docker_version: median(ms("docker version")), node: median(ms("node")) },
    }),
    time("help_ms", ms("help")),
    time("completion_ms", ms("completion"), { goal: MAX_COMPLETION_MS }),
    time("node_ls_ms", ms("node ls"), { peer: { docker_node_ls: median(ms("docker node ls")) } }),
    figureOf({
      name: "start.node_ls_mb",
      unit: "MB",
      runs: mb("node ls"),
      peer: { docker_node_ls: median(mb("docker node ls")) },
    }),
  ];
}

process.exitCode = await runBench(
  {
    name: "start",
    programs: { docker: ["docker", "--version"] },
    defaultRuns: DEFAULT_RUNS,
    measure,
  },
  process.argv.slice(2),
);
