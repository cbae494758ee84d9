import { isIP } from "node:net";
import { BERTH_VERSION } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import { INGRESS_MODES, type IngressMode, isIngressMode } from "./dataplane/kernel/ingress-mode.js";

export interface AgentConfig {
  /** "host:port" of servers, in the order to try them in. */
  readonly servers: readonly string[];
  /** IP address at which the other hosts reach this one. */
  readonly advertiseAddress: string;
  readonly dataDir: string;
  readonly dockerSocket: string;
  /** Countable things that this host has ("gpu": 2), for tasks to reserve. */
  readonly resources: Readonly<Record<string, number>>;
  /** Who balances connections to published ports: the kernel where it can, or one of the two by force. */
  readonly ingress: IngressMode;
  /** "host:port" at which Prometheus may ask; empty: it may not. */
  readonly metrics: string;
  readonly logLevel: string;
}

export type ParsedConfig =
  | { readonly kind: "config"; readonly config: AgentConfig }
  /** Help or version was asked for, and printed. */
  | { readonly kind: "done" }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

const EXAMPLES = `
Examples:
  $ berth agent --server 10.0.0.1:7400 --advertise 10.0.0.11
  $ berth agent --server 10.0.0.1:7400,10.0.0.2:7400 --advertise 10.0.0.12
  $ berth agent --server 10.0.0.1:7400 --advertise 10.0.0.13 --resource gpu=2 --resource ssd=1
`;
/** A name that constraints and Compose files can hold, and a count that is exact. */
const RESOURCE = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})=(\d{1,9})$/;
const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"];

/** Parses the words after `berth agent`; what they leave out comes from BERTH_* variables. */
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
    advertiseAddress: options.advertise ?? "",
    dataDir: options.dataDir ?? "",
    dockerSocket: options.dockerSocket ?? "",
    resources: parseResources(options.resource ?? env.BERTH_RESOURCE ?? "", problems),
    ingress: isIngressMode(ingress) ? ingress : "auto",
    metrics: options.metrics ?? "",
    logLevel: options.logLevel ?? "",
  };
  if (!isIngressMode(ingress))
    problems.push(`--ingress: "${ingress}" is none of ${INGRESS_MODES.join(", ")}`);
  problems.push(...problemsOf(config));
  return problems.length > 0 ? { kind: "invalid", problems } : { kind: "config", config };
}

function agentCommand(env: NodeJS.ProcessEnv, onProblem: (problem: string) => void): Command {
  const withEnv = (flags: string, description: string, variable: string, fallback: string): Option =>
    new Option(flags, `${description} [${variable}]`).default(env[variable] ?? fallback);
  return new Command("berth agent")
    .description("Makes the Docker daemon of this host run what the control plane places here.")
    .version(BERTH_VERSION, "--version")
    .addOption(
      withEnv("--server <host:port,...>", "servers of the control plane", "BERTH_SERVER", "127.0.0.1:7400"),
    )
    .addOption(
      withEnv("--advertise <address>", "where other hosts reach this one", "BERTH_ADVERTISE", "127.0.0.1"),
    )
    .addOption(withEnv("--data-dir <path>", "identity and state", "BERTH_DATA_DIR", "/var/lib/berth/agent"))
    .addOption(
      withEnv("--docker-socket <path>", "the Docker daemon", "BERTH_DOCKER_SOCKET", "/var/run/docker.sock"),
    )
    .addOption(
      new Option(
        "--resource <kind=count>",
        "what tasks may reserve here, repeatable [BERTH_RESOURCE]",
      ).argParser((one: string, others: string | undefined) =>
        others === undefined ? one : `${others},${one}`,
      ),
    )
    .addOption(
      withEnv(
        "--ingress <path>",
        `who balances published ports: ${INGRESS_MODES.join(", ")}`,
        "BERTH_INGRESS",
        "auto",
      ),
    )
    .addOption(withEnv("--metrics <host:port>", "where Prometheus may ask", "BERTH_METRICS", ""))
    .addOption(withEnv("--log-level <level>", LOG_LEVELS.join(", "), "BERTH_LOG_LEVEL", "info"))
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({ outputError: (text) => onProblem(text.trim().replace(/^error: /, "")) });
}

function parseResources(text: string, problems: string[]): Readonly<Record<string, number>> {
  const resources: Record<string, number> = {};
  for (const part of text.split(",").filter((one) => one.trim() !== "")) {
    const [, kind = "", count = ""] = RESOURCE.exec(part.trim()) ?? [];
    if (kind === "") problems.push(`--resource: "${part.trim()}" is not KIND=COUNT, such as gpu=2`);
    else resources[kind] = Number(count);
  }
  return resources;
}

function problemsOf(config: AgentConfig): string[] {
  const problems = config.servers
    .filter((server) => !isHostPort(server))
    .map((server) => {
      return `--server: "${server}" is not HOST:PORT`;
    });
  if (config.servers.length === 0) problems.push("--server: name at least one HOST:PORT");
  if (isIP(config.advertiseAddress) === 0) {
    problems.push(`--advertise: "${config.advertiseAddress}" is not an IP address`);
  } else if (/^(0\.0\.0\.0|::)$/.test(config.advertiseAddress)) {
    problems.push(
      `--advertise: other hosts cannot reach ${config.advertiseAddress}; give an address of this host`,
    );
  }
  if (config.dataDir === "") problems.push("--data-dir: must not be empty");
  if (config.dockerSocket === "") problems.push("--docker-socket: must not be empty");
  if (config.metrics !== "" && !isHostPort(config.metrics)) {
    problems.push(`--metrics: "${config.metrics}" is not HOST:PORT`);
  }
  if (!LOG_LEVELS.includes(config.logLevel)) {
    problems.push(`--log-level: "${config.logLevel}" is none of ${LOG_LEVELS.join(", ")}`);
  }
  return problems;
}

function isHostPort(text: string): boolean {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  return host !== "" && Number(port) >= 1 && Number(port) <= 65_535;
}
