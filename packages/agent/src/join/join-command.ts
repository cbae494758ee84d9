import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { BERTH_VERSION, BerthError, canonicalIp, diskError, ERROR_CODES, isBerthError } from "@berth/proto";
import { readSecret } from "@berth/proto/terminal";
import { Command, CommanderError, Option } from "commander";
import { advertiseProblem, DEFAULT_DATA_DIR, isHostPort } from "../config.js";
import { type JoinedHost, joinHost } from "./join-host.js";

/** The unit of the Debian package, whose agent uses the default data directory. */
const AGENT_UNIT = "/usr/lib/systemd/system/berth-agent.service";
const EXIT_BAD_INPUT = 2;
/** Exit code that shells use for SIGINT. */
const EXIT_INTERRUPTED = 130;
const INTERRUPTED_ERROR = {
  code: "BERTH_CANCELLED",
  message: "interrupted: this host has not joined",
} as const;

const HELP_EPILOGUE = `
The command checks that the server belongs to the cluster of the token before it sends the token. The private key never
leaves this host. Without --token-file, the token is read from standard input, or asked for on a terminal.

Exit codes: 0 joined, 1 failed, 2 bad input or token, 3 server unreachable, 130 interrupted.

Examples:
  $ berth agent join 10.0.0.1:7400 --advertise 10.0.0.11
  $ berth agent join 10.0.0.1:7400 --token-file /root/token
  $ ssh server berth token create | berth agent join 10.0.0.1:7400 --token-file -
`;

interface JoinCommandOptions {
  readonly tokenFile?: string;
  readonly advertise: string;
  readonly dataDir: string;
  readonly force: boolean;
  readonly output: "table" | "json";
}

/** Runs `berth agent join`. Returns its exit code. */
export async function runJoinCommand(argv: readonly string[]): Promise<number> {
  const command = joinCommand();
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  }
  const [address = ""] = command.args;
  const options = command.opts<JoinCommandOptions>();
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort(new BerthError(INTERRUPTED_ERROR));
  process.once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  try {
    const joined = await join(address, options, interrupted.signal);
    process.stdout.write(
      options.output === "json" ? toJson(joined) : resultText(joined, startCommand(joined, options.dataDir)),
    );
    return 0;
  } catch (error) {
    return reportError(diskError(error, options.dataDir) ?? error, options.output);
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
}

function join(
  address: string,
  { tokenFile: file, advertise: given, dataDir, force }: JoinCommandOptions,
  signal: AbortSignal,
): Promise<JoinedHost> {
  const advertise = given === "" ? undefined : (canonicalIp(given) ?? given);
  const problems = argumentProblems(address, advertise);
  if (problems.length > 0) {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: problems.join("; ") });
  }
  const source = { file, prompt: "Join token: ", what: "join token" };
  const readToken = async (): Promise<string> => {
    const token = await readSecret(source, process, signal);
    process.stderr.write(`Joining the cluster of ${address} as ${hostname()} …\n`);
    return token;
  };
  return joinHost({ address, dataDir, hostname: hostname(), advertise, force, readToken }, signal);
}

function argumentProblems(address: string, advertise: string | undefined): readonly string[] {
  const problems: string[] = [];
  if (!isHostPort(address)) {
    problems.push(
      `invalid address ${JSON.stringify(address)}: must be HOST:PORT of a server, such as 10.0.0.1:7400`,
    );
  }
  const problem = advertise === undefined ? undefined : advertiseProblem(advertise);
  if (problem !== undefined) problems.push(`--advertise: ${problem}`);
  return problems;
}

function reportError(error: unknown, output: JoinCommandOptions["output"]): number {
  if (!isBerthError(error)) throw error;
  const { code, message, details } = error;
  process.stderr.write(
    output === "json"
      ? `${JSON.stringify({ error: { code, message, details } })}\n`
      : `error: ${message}\n(${code})\n`,
  );
  if (code === "BERTH_CANCELLED") return EXIT_INTERRUPTED;
  return ERROR_CODES[code].exitCode;
}

function toJson({ validUntilMs, ...joined }: JoinedHost): string {
  return `${JSON.stringify({ ...joined, validUntil: new Date(validUntilMs).toISOString() }, null, 2)}\n`;
}

/**
 * Returns a description of the result, and of what to do next.
 *
 * @param start the command that starts the agent
 */
function resultText(
  { cluster, nodeId, hostname: name, advertise, awaitsApproval }: JoinedHost,
  start: string,
): string {
  const approval = awaitsApproval
    ? [`The node is waiting for approval; run "berth node accept ${name}" on a server.`]
    : [];
  const next =
    advertise === undefined
      ? ", with the address at which the other hosts reach this one:"
      : `; the other hosts reach this one at ${advertise}:`;
  return [
    `This host has joined the cluster ${cluster} as node ${nodeId} (${name}).`,
    ...approval,
    `Next: start the agent${next}`,
    `  ${start}`,
    "",
  ].join("\n");
}

/** Returns the command that starts the agent: through systemd if its unit suits. */
export function startCommand(
  { advertise }: Pick<JoinedHost, "advertise">,
  dataDir: string,
  hasUnit = existsSync(AGENT_UNIT),
): string {
  const options = [
    ...(advertise === undefined ? ["--advertise ADDRESS"] : []),
    ...(dataDir === DEFAULT_DATA_DIR ? [] : [`--data-dir ${dataDir}`]),
  ];
  if (hasUnit && options.length === 0) return "systemctl enable --now berth-agent";
  return ["berth agent", ...options].join(" ");
}

function joinCommand(): Command {
  const { BERTH_DATA_DIR: dataDir = DEFAULT_DATA_DIR, BERTH_ADVERTISE: advertise = "" } = process.env;
  return new Command("berth agent join")
    .description("Join a cluster: get a certificate for this host with a join token")
    .version(BERTH_VERSION, "--version")
    .argument("<address>", "HOST:PORT of a server")
    .option("--token-file <path>", "file with the join token; - for standard input")
    .addOption(
      new Option(
        "--advertise <address>",
        "IP address at which other hosts reach this host, for berth agent [BERTH_ADVERTISE]",
      ).default(advertise),
    )
    .option("--force", "join again, as a new node, even if this host has joined before", false)
    .addOption(
      new Option("--data-dir <path>", "data directory of the agent [BERTH_DATA_DIR]").default(dataDir),
    )
    .addOption(
      new Option("-o, --output <format>", "output format").choices(["table", "json"]).default("table"),
    )
    .addHelpText("after", HELP_EPILOGUE)
    .exitOverride();
}
