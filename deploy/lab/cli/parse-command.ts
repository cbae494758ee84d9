import { parseArgs } from "node:util";
import { LabError } from "../lab-error.js";
import { DEFAULT_LAB } from "../subnet.js";

const DEFAULT_HOSTS = 3;

interface InLab {
  readonly lab: string;
}

/** What can be done to one or more machines, by its word on the command line. */
const MACHINE_VERBS = ["kill", "start", "partition", "heal"] as const;
export type MachineVerb = (typeof MACHINE_VERBS)[number];

interface UpOptions {
  readonly hosts: number;
  readonly berth: boolean;
  readonly servers?: number;
}

export type LabCommand =
  | (InLab & UpOptions & { readonly kind: "up" })
  | (InLab & { readonly kind: "down" })
  | (InLab & { readonly kind: "status"; readonly json: boolean })
  | (InLab & { readonly kind: "machines"; readonly verb: MachineVerb; readonly machines: readonly string[] })
  | (InLab & { readonly kind: "shell"; readonly machine: string; readonly argv: readonly string[] })
  | (InLab & { readonly kind: "image"; readonly source: string; readonly tag: string })
  | { readonly kind: "help" };

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  name: { type: "string" },
  hosts: { type: "string" },
  servers: { type: "string" },
  "no-berth": { type: "boolean" },
  json: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;

/** The options of each command beside --name and --help. */
const OPTIONS_OF: Readonly<Record<string, readonly OptionName[]>> = {
  up: ["hosts", "servers", "no-berth"],
  status: ["json"],
};

/** @throws LabError LAB_BAD_USAGE that says what is wrong with the words given. */
export function parseCommand(args: readonly string[]): LabCommand {
  const split = args.indexOf("--");
  const own = split < 0 ? args : args.slice(0, split);
  const passedOn = split < 0 ? [] : args.slice(split + 1);
  const { values, positionals } = parseOptions(own);
  const [word, ...operands] = positionals;
  if (values.help || word === undefined) return { kind: "help" };
  const { name, help: _, ...ownOptions } = values;
  for (const option of Object.keys(ownOptions) as OptionName[]) {
    if (!OPTIONS_OF[word]?.includes(option)) throw badUsage(`${word} takes no option --${option}`);
  }
  if (passedOn.length > 0 && word !== "shell") throw badUsage(`${word} takes nothing after --`);
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
      return { ...command, kind: "shell", machine: first ?? "", argv: passedOn };
    case "image":
      expectOperands(word, operands, 2);
      return { ...command, kind: "image", source: first ?? "", tag: second ?? "" };
    default: {
      const verb = MACHINE_VERBS.find((candidate) => candidate === word);
      if (!verb) throw badUsage(`there is no command "${word}"`);
      if (first === undefined) throw badUsage(`${verb} needs the name of a host`);
      return { ...command, kind: "machines", verb, machines: operands };
    }
  }
}

function parseOptions(args: readonly string[]): ReturnType<typeof parseLabArgs> {
  try {
    return parseLabArgs(args);
  } catch (cause) {
    // Node's message goes on with advice that is none here.
    const [problem = ""] = (cause instanceof Error ? cause.message : String(cause)).split(". ");
    throw badUsage(problem);
  }
}

const parseLabArgs = (args: readonly string[]) =>
  parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });

function parseUp(values: ReturnType<typeof parseLabArgs>["values"]): UpOptions {
  if (values.servers !== undefined && values["no-berth"]) throw badUsage("--no-berth leaves no --servers");
  const hosts = parseCount("--hosts", values.hosts) ?? DEFAULT_HOSTS;
  const servers = parseCount("--servers", values.servers);
  return { hosts, berth: !values["no-berth"], ...(servers !== undefined && { servers }) };
}

function parseCount(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw badUsage(`${option} needs a number from 1 on, not "${text}"`);
}

function expectOperands(word: string, operands: readonly string[], count: number): void {
  if (operands.length > count)
    throw badUsage(`${word}: nothing known about "${operands.slice(count).join(" ")}"`);
  if (operands.length < count) {
    throw badUsage(word === "image" ? "image needs a SOURCE and a TAG" : `${word} needs the name of a host`);
  }
}

function badUsage(message: string): LabError {
  return new LabError("LAB_BAD_USAGE", `${message} (see npm run lab -- --help)`);
}

/** `npm run lab -- --help`, 80 columns. */
export const HELP = `Several real Docker hosts on this machine, with berth on them.

Usage: npm run lab -- COMMAND

  up [--hosts N] [--no-berth]  make N hosts (3) h1…hN and a server s1
     [--servers N]             instead of s1's, servers with their etcd on the
                               first N hosts: most of them must stay up
  down                         remove the lab and everything in it
  status [--json]              what runs, and at which address
  kill HOST…                   power cut: everything on it dies at once
  start HOST…                  switch on again, on the same disk
  partition HOST…              pull the network cable
  heal HOST…                   plug it in again
  shell HOST [-- COMMAND…]     a shell on the host, or one command
  image SOURCE TAG             build a folder (or take a docker save archive)
                               and load the image onto every host

Options:
  --name NAME                  another lab beside the first (default: lab)
  -h, --help                   this text

Environment:
  BERTH_LAB_DOCKER=RELEASE     hosts run the Docker of this Debian release
                               (trixie, sid), or that in a folder

Examples:
  npm run lab -- up
  npm run lab -- image deploy/images/hello hello:1
  npm run lab -- shell h1 -- docker run -d -p 8000:80 hello:1
  curl http://10.77.0.11:8000
  npm run lab -- kill h1
  npm run lab -- start h1
  npm run lab -- down
  npm run lab -- up --hosts 3 --servers 3`;
