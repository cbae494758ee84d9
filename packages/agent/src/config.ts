import { isIP } from "node:net";
import { BERTH_VERSION, canonicalIp, hostAddressProblem, timingScaleProblem } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import type { DeclaredResources } from "./core/tasks/generic-resources.js";
import { INGRESS_MODES, type IngressMode, isIngressMode } from "./dataplane/kernel/ingress-mode.js";

export interface AgentConfig {
  /** Addresses of servers ("host:port") to try before those learned from the cluster. */
  readonly servers: readonly string[];
  /** The IP address at which other hosts reach this one. Undefined if none is configured. */
  readonly advertiseAddress: string | undefined;
  readonly dataDir: string;
  readonly dockerSocket: string;
  /** Generic resources that tasks can reserve: counts such as { ssd: 2 }, or names such as { gpu: ["GPU-1", "GPU-2"] }. */
  readonly resources: DeclaredResources;
  /** How connections to published ports are balanced: in the kernel, in user space, or in the kernel where possible. */
  readonly ingress: IngressMode;
  /**
   * User of the ingress process; "root" for the agent's own user. Empty for an unprivileged user without an account,
   * where possible.
   */
  readonly ingressUser: string;
  /** The systemd unit that runs the ingress process. Empty if the agent starts the process itself. */
  readonly ingressUnit: string;
  /** Listen address for Prometheus ("host:port"). Empty if metrics are off. */
  readonly metrics: string;
  /** The "host:port" on which images are served to the agents of other nodes. Empty for the advertised address. */
  readonly imageListen: string;
  /** Maximum total size of the layers kept for other nodes, in bytes. */
  readonly imageCacheBytes: number;
  readonly logLevel: string;
}

export type ParsedConfig =
  | { readonly kind: "config"; readonly config: AgentConfig }
  /** The help text or the version was printed. */
  | { readonly kind: "done" }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

/** Default port on which agents serve images to each other. */
export const IMAGE_PORT = 7405;
export const DEFAULT_DATA_DIR = "/var/lib/berth/agent";

const EXAMPLES = `
Commands:
  join ADDRESS  get a certificate for this host with a join token; see berth agent join --help
  reset         remove from this host what its agent added; see berth agent reset --help

Examples:
  $ berth agent join 10.0.0.1:7400 --advertise 10.0.0.11
  $ berth agent
  $ berth agent --resource gpu=2 --resource ssd=1
  $ berth agent --resource gpu=GPU-8a56a4bc --resource gpu=GPU-d2b9e1f0
  $ berth agent --server 10.0.1.1:7400,10.0.1.2:7400

BERTH_TIMING_SCALE=N multiplies the timings by which hosts and leaders count as
lost, for machines that are too slow for them, such as emulated ones. It must
be the same on all servers and agents.
`;
/** A name that is valid in constraints and Compose files, and a count that a double represents exactly. */
const RESOURCE_PATTERN = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})=([A-Za-z0-9][A-Za-z0-9_.:/-]{0,127})$/;
const COUNT_PATTERN = /^\d{1,9}$/;
/** Maximum number of named resources of one kind. A container label lists the names, so their number is limited. */
const MAX_RESOURCE_NAMES = 256;
const SIZE_UNITS: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"];

/** The options with one value each, in the order of the help text. */
const OPTIONS = [
  {
    flags: "--server <host:port,...>",
    description:
      "servers to try before those learned from the cluster; required when all servers have new addresses",
    variable: "BERTH_SERVER",
    fallback: "",
  },
  {
    flags: "--advertise <address>",
    description:
      "IP address at which other hosts reach this host (default: the one passed to berth agent join, or 127.0.0.1)",
    variable: "BERTH_ADVERTISE",
    fallback: "",
  },
  {
    flags: "--data-dir <path>",
    description: "data directory",
    variable: "BERTH_DATA_DIR",
    fallback: DEFAULT_DATA_DIR,
  },
  {
    flags: "--docker-socket <path>",
    description: "Docker daemon socket",
    variable: "BERTH_DOCKER_SOCKET",
    fallback: "/var/run/docker.sock",
  },
  {
    flags: "--ingress <path>",
    description: `how to balance published ports: ${INGRESS_MODES.join(", ")}`,
    variable: "BERTH_INGRESS",
    fallback: "auto",
  },
  {
    flags: "--ingress-user <name>",
    description:
      "user of the ingress process, or root (default: an unprivileged user without an account, where this host allows it)",
    variable: "BERTH_INGRESS_USER",
    fallback: "",
  },
  {
    flags: "--ingress-unit <name>",
    description: "systemd unit that runs the ingress process (default: the agent starts the process itself)",
    variable: "BERTH_INGRESS_UNIT",
    fallback: "",
  },
  {
    flags: "--metrics <host:port>",
    description: "Prometheus listen address; other hosts need HTTPS and the certificate of a user",
    variable: "BERTH_METRICS",
    fallback: "",
  },
  {
    flags: "--image-listen <host:port>",
    description: `listen address for serving images to other nodes (default: port ${IMAGE_PORT} of --advertise)`,
    variable: "BERTH_IMAGE_LISTEN",
    fallback: "",
  },
  {
    flags: "--image-cache <size>",
    description: "maximum disk space for image layers kept for other nodes, such as 500m or 2g",
    variable: "BERTH_IMAGE_CACHE",
    fallback: "2g",
  },
  {
    flags: "--log-level <level>",
    description: LOG_LEVELS.join(", "),
    variable: "BERTH_LOG_LEVEL",
    fallback: "info",
  },
] as const;

/** Parses the arguments of `berth agent`. Options that are not given come from BERTH_* variables. */
export function parseConfig(argv: readonly string[], env: NodeJS.ProcessEnv): ParsedConfig {
  const problems: string[] = [];
  const command = agentCommand(env, (problem) => problems.push(problem));
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? { kind: "done" } : { kind: "invalid", problems };
  }
  const options: Record<string, string> = command.opts();
  const { ingress = "" } = options;
  const config: AgentConfig = {
    servers: (options.server ?? "")
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== ""),
    advertiseAddress: options.advertise ? (canonicalIp(options.advertise) ?? options.advertise) : undefined,
    dataDir: options.dataDir ?? "",
    dockerSocket: options.dockerSocket ?? "",
    resources: parseResources(options.resource ?? env.BERTH_RESOURCE ?? "", problems),
    ingress: isIngressMode(ingress) ? ingress : "auto",
    ingressUser: options.ingressUser ?? "",
    ingressUnit: options.ingressUnit ?? "",
    metrics: options.metrics ?? "",
    imageListen: options.imageListen ?? "",
    imageCacheBytes: parseSize(options.imageCache ?? "", problems),
    logLevel: options.logLevel ?? "",
  };
  if (!isIngressMode(ingress)) {
    problems.push(`--ingress: invalid value "${ingress}": must be one of ${INGRESS_MODES.join(", ")}`);
  }
  const scaleProblem = timingScaleProblem(env);
  if (scaleProblem !== undefined) problems.push(scaleProblem);
  problems.push(...validate(config));
  return problems.length > 0 ? { kind: "invalid", problems } : { kind: "config", config };
}

function agentCommand(env: NodeJS.ProcessEnv, onProblem: (problem: string) => void): Command {
  const command = new Command("berth agent")
    .description("Run the tasks that the control plane assigns to this host")
    .version(BERTH_VERSION, "--version");
  for (const { flags, description, variable, fallback } of OPTIONS) {
    const option = new Option(flags, `${description} [${variable}]`);
    command.addOption(option.default(env[variable] ?? fallback));
  }
  return command
    .option(
      "--resource <kind=count|kind=name>",
      "generic resource that tasks can reserve: a count, or the name of one unit; repeatable [BERTH_RESOURCE]",
      (value: string, previous: string | undefined) =>
        previous === undefined ? value : `${previous},${value}`,
    )
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({ outputError: (text) => onProblem(text.trim().replace(/^error: /, "")) });
}

function parseResources(text: string, problems: string[]): DeclaredResources {
  const resources: Record<string, number | readonly string[]> = {};
  for (const part of text.split(",").map((entry) => entry.trim())) {
    if (part === "") continue;
    const [, kind = "", value = ""] = RESOURCE_PATTERN.exec(part) ?? [];
    const declared = Object.hasOwn(resources, kind) ? resources[kind] : undefined;
    const problem =
      kind === "" ? "must be KIND=COUNT or KIND=NAME, such as gpu=2" : valueProblem(value, declared);
    if (problem !== undefined) problems.push(`--resource: invalid value "${part}": ${problem}`);
    else if (COUNT_PATTERN.test(value)) resources[kind] = Number(value);
    else resources[kind] = [...(typeof declared === "object" ? declared : []), value];
  }
  return resources;
}

/** Returns why a value conflicts with the earlier values of its kind. */
function valueProblem(value: string, known: number | readonly string[] | undefined): string | undefined {
  const isCount = COUNT_PATTERN.test(value);
  if (known === undefined || (isCount && typeof known === "number")) return undefined;
  if (isCount || typeof known === "number") return "a kind must have either a count or names";
  if (known.includes(value)) return "the name is declared twice";
  return known.length < MAX_RESOURCE_NAMES
    ? undefined
    : `a kind can have at most ${MAX_RESOURCE_NAMES} names`;
}

function parseSize(text: string, problems: string[]): number {
  const [, digits = "", unit = ""] = /^(\d{1,12})([kmg]?)$/.exec(text) ?? [];
  if (digits === "") {
    problems.push(`--image-cache: invalid size "${text}": must be a number with k, m or g, such as 2g`);
  }
  return Number(digits) * (SIZE_UNITS[unit] ?? 1);
}

function validate(config: AgentConfig): string[] {
  const problems = config.servers
    .filter((server) => !isHostPort(server))
    .map((server) => `--server: invalid address "${server}": must be HOST:PORT`);
  const { advertiseAddress } = config;
  const problem = advertiseAddress === undefined ? undefined : advertiseProblem(advertiseAddress);
  if (problem !== undefined) problems.push(`--advertise: ${problem}`);
  if (config.dataDir === "") problems.push("--data-dir: must not be empty");
  if (config.dockerSocket === "") problems.push("--docker-socket: must not be empty");
  if (config.metrics !== "" && !isHostPort(config.metrics)) {
    problems.push(`--metrics: invalid address "${config.metrics}": must be HOST:PORT`);
  }
  if (config.imageListen !== "" && !isHostPort(config.imageListen)) {
    problems.push(`--image-listen: invalid address "${config.imageListen}": must be HOST:PORT`);
  }
  if (!LOG_LEVELS.includes(config.logLevel)) {
    problems.push(`--log-level: invalid value "${config.logLevel}": must be one of ${LOG_LEVELS.join(", ")}`);
  }
  return problems;
}

/** Returns why an address cannot be advertised. Loopback addresses are valid for a cluster on one host. */
export function advertiseProblem(address: string): string | undefined {
  if (isIP(address) === 0) return `invalid IP address "${address}"`;
  if (hostAddressProblem(address) === undefined) return undefined;
  return `other hosts cannot reach ${address}; use an address of this host`;
}

/** Returns whether a text is "host:port". */
export function isHostPort(text: string): boolean {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  return host !== "" && Number(port) >= 1 && Number(port) <= 65_535;
}
