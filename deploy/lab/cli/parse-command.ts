import { parseArgs } from "node:util";
import { LabError } from "../lab-error.js";
import { DEFAULT_LAB } from "../subnet.js";

/** Text of `npm run lab -- --help`, at most 80 columns wide. */
export const HELP = `Runs several Docker hosts with berth on this machine.

Usage: npm run lab -- COMMAND [OPTIONS]

Commands:
  up [--hosts N] [--servers N] [--no-berth] [--vm]
                           create a lab of N Docker hosts (default: 3) and a
                           machine with a berth server; --servers runs servers
                           on the first hosts instead; --no-berth starts Docker
                           only; --vm starts virtual machines with Debian's
                           kernel and systemd, and berth's Debian package
  down                     remove the lab with all its data
  status [--json]          list machines, their addresses and their daemons
  kill HOST...             cut a host's power: all its processes end at once
  start HOST...            start a killed host with its old disk
  partition HOST...        disconnect a host from the network
  heal HOST...             reconnect a host to the network
  shell HOST [-- CMD...]   open a shell on a host, or run one command
  image SOURCE TAG         build an image from a directory or an archive, and
                           load it onto every host

Options:
  --name NAME              name of the lab (default: lab)
  -h, --help               print this help

Environment:
  BERTH_LAB_DOCKER=RELEASE run the Docker of a Debian release (trixie, sid), or
                           of a directory, on the hosts

Examples:
  npm run lab -- up
  npm run lab -- image deploy/images/hello hello:1
  npm run lab -- shell h1 -- docker run -d -p 8000:80 hello:1
  curl http://10.77.0.11:8000
  npm run lab -- kill h1
  npm run lab -- start h1
  npm run lab -- down
  npm run lab -- up --hosts 3 --servers 3`;

/** Default number of hosts. */
const DEFAULT_HOSTS = 3;

/** The name of the lab that a command applies to. */
interface LabSelection {
  readonly lab: string;
}

/** Commands that take one or more machines. */
const MACHINE_VERBS = ["kill", "start", "partition", "heal"] as const;
export type MachineVerb = (typeof MACHINE_VERBS)[number];

/** Options of `up`. If `servers` is undefined, a separate machine runs the only server. */
interface UpOptions {
  readonly hosts: number;
  readonly hasBerth: boolean;
  /** Whether the machines are virtual machines instead of namespaces. */
  readonly isVirtual: boolean;
  readonly servers: number | undefined;
}

/** A parsed command line. */
export type LabCommand =
  | (LabSelection & UpOptions & { readonly kind: "up" })
  | (LabSelection & { readonly kind: "down" })
  | (LabSelection & { readonly kind: "status"; readonly json: boolean })
  | (LabSelection & {
      readonly kind: "machines";
      readonly verb: MachineVerb;
      readonly machines: readonly string[];
    })
  | (LabSelection & { readonly kind: "shell"; readonly machine: string; readonly argv: readonly string[] })
  | (LabSelection & { readonly kind: "image"; readonly source: string; readonly tag: string })
  | { readonly kind: "help" };

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  name: { type: "string" },
  hosts: { type: "string" },
  servers: { type: "string" },
  "no-berth": { type: "boolean" },
  vm: { type: "boolean" },
  json: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;

/** Options that each command accepts in addition to --name and --help. */
const COMMAND_OPTIONS: Readonly<Record<string, readonly OptionName[]>> = {
  up: ["hosts", "servers", "no-berth", "vm"],
  status: ["json"],
};

/**
 * Parses the arguments of `npm run lab`.
 *
 * @throws LabError LAB_BAD_USAGE for invalid arguments.
 */
export function parseCommand(args: readonly string[]): LabCommand {
  const separator = args.indexOf("--");
  const labArgs = separator < 0 ? args : args.slice(0, separator);
  const shellArgv = separator < 0 ? [] : args.slice(separator + 1);
  const { values, positionals } = parseOptions(labArgs);
  const [word, ...operands] = positionals;
  if (values.help || word === undefined) return { kind: "help" };
  const { name, help: _, ...commandOptions } = values;
  for (const option of Object.keys(commandOptions) as OptionName[]) {
    if (!COMMAND_OPTIONS[word]?.includes(option)) {
      throw badUsageError(`unknown option --${option} for ${word}`);
    }
  }
  if (shellArgv.length > 0 && word !== "shell") {
    throw badUsageError(`unexpected arguments after -- for ${word}`);
  }
  const command = { lab: name ?? DEFAULT_LAB };
  const [first, second] = operands;

  switch (word) {
    case "up":
      expectOperands(word, operands, 0);
      return { ...command, kind: "up", ...parseUp(values) };
    case "down":
      expectOperands(word, operands, 0);
      return { ...command, kind: "down" };
    case "status":
      expectOperands(word, operands, 0);
      return { ...command, kind: "status", json: values.json ?? false };
    case "shell":
      expectOperands(word, operands, 1);
      return { ...command, kind: "shell", machine: first ?? "", argv: shellArgv };
    case "image":
      expectOperands(word, operands, 2);
      return { ...command, kind: "image", source: first ?? "", tag: second ?? "" };
    default: {
      const verb = MACHINE_VERBS.find((candidate) => candidate === word);
      if (!verb) throw badUsageError(`unknown command "${word}"`);
      if (first === undefined) throw badUsageError(`${verb} requires at least one host`);
      return { ...command, kind: "machines", verb, machines: operands };
    }
  }
}

function parseOptions(args: readonly string[]): ReturnType<typeof parseLabArgs> {
  try {
    return parseLabArgs(args);
  } catch (cause) {
    // Keep only the first sentence of Node's message. The advice that follows does not apply here.
    const [problem = ""] = (cause instanceof Error ? cause.message : String(cause)).split(". ");
    throw badUsageError(problem);
  }
}

const parseLabArgs = (args: readonly string[]) =>
  parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });

function parseUp(values: ReturnType<typeof parseLabArgs>["values"]): UpOptions {
  if (values.servers !== undefined && values["no-berth"]) {
    throw badUsageError("cannot use --servers with --no-berth");
  }
  const hosts = parseCount("--hosts", values.hosts) ?? DEFAULT_HOSTS;
  const servers = parseCount("--servers", values.servers);
  const isVirtual = values.vm ?? false;
  return { hosts, hasBerth: !values["no-berth"], isVirtual, servers };
}

function parseCount(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw badUsageError(`invalid value "${text}" for ${option}: expected a positive number`);
}

function expectOperands(word: string, operands: readonly string[], count: number): void {
  if (operands.length > count) {
    throw badUsageError(`unexpected argument "${operands.slice(count).join(" ")}" for ${word}`);
  }
  if (operands.length < count) {
    throw badUsageError(
      word === "image" ? "image requires SOURCE and TAG" : `${word} requires the name of a host`,
    );
  }
}

function badUsageError(message: string): LabError {
  return new LabError("LAB_BAD_USAGE", `${message} (see npm run lab -- --help)`);
}
