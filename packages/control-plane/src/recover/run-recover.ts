import { createInterface } from "node:readline/promises";
import type { Readable } from "node:stream";
import { assertNever, BerthError } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import type { QueriedMember } from "../core/membership/recovery.js";
import { createLogger } from "../logger.js";
import { DEFAULT_DATA_DIR } from "../server-command.js";
import { type RecoveryPlan, recoverServer } from "./recover-server.js";

const EXAMPLES = `
Stop the server on this host first, and run the command as the user that runs
the server. The command asks the other servers whether they run, and refuses
when a quorum may still exist. It shows what it will do before it does it.

Examples:
  # After the quorum was lost for good
  $ berth server recover

  # Do not ask, for example in a script
  $ berth server recover --yes

  # The hosts that do not answer are lost, or their servers are stopped
  $ berth server recover --force
`;

interface RecoverArguments {
  readonly dataDir: string;
  readonly yes: boolean;
  readonly force: boolean;
}

/** Standard streams of the command. */
export interface RecoverStreams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: { write(text: string): unknown };
  readonly stderr: NodeJS.WritableStream;
}

/**
 * Runs `berth server recover`.
 *
 * @throws BerthError BERTH_INPUT_INVALID for invalid arguments, and the errors of `recoverServer`
 */
export async function runRecover(
  argv: readonly string[],
  env: Readonly<NodeJS.ProcessEnv>,
  streams: RecoverStreams,
  signal: AbortSignal,
): Promise<void> {
  const parsed = parseRecoverArguments(argv, env);
  if (parsed.kind === "text") {
    streams.stdout.write(parsed.text);
    return;
  }
  const { dataDir, yes, force } = parsed;
  streams.stderr.write("Checking whether the other servers are running\n");
  const options = { dataDir, isForced: force, nowMs: Date.now(), logger: createLogger("error") };
  const confirm = async (plan: RecoveryPlan): Promise<boolean> => {
    streams.stderr.write(describePlan(plan));
    if (!yes && !(await askToContinue(streams, signal))) return false;
    streams.stderr.write("Recovering\n");
    return true;
  };
  const plan = await recoverServer({ ...options, confirm }, signal);
  streams.stdout.write(plan === undefined ? "Nothing was changed.\n" : nextSteps(plan, dataDir));
}

type ParsedRecover =
  | { readonly kind: "text"; readonly text: string }
  | ({ readonly kind: "recover" } & RecoverArguments);

/**
 * Parses the arguments after `berth server recover`.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function parseRecoverArguments(
  argv: readonly string[],
  env: Readonly<NodeJS.ProcessEnv>,
): ParsedRecover {
  let text = "";
  const command = new Command("berth server recover")
    .description("Continue with this host's server alone, after the quorum of servers was lost for good")
    .addOption(
      new Option("--data-dir <dir>", "Data directory of this server [BERTH_DATA_DIR]").default(
        env.BERTH_DATA_DIR || DEFAULT_DATA_DIR,
      ),
    )
    .option("-y, --yes", "Do not ask for confirmation", false)
    .option("-f, --force", "Assume that servers that do not respond are lost for good or stopped", false)
    .allowExcessArguments(false)
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({
      writeOut: (out) => {
        text += out;
      },
      writeErr: () => {},
    });
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "text", text };
    throw invalidArgumentsError(error.message.replace(/^error: /, ""));
  }
  const options = command.opts<RecoverArguments>();
  if (options.dataDir === "") throw invalidArgumentsError("--data-dir must not be empty");
  return { kind: "recover", ...options };
}

/**
 * Returns false for any answer but "yes".
 *
 * @throws BerthError BERTH_INPUT_INVALID without a terminal
 */
async function askToContinue({ stdin, stderr }: RecoverStreams, signal: AbortSignal): Promise<boolean> {
  if (stdin.isTTY !== true) {
    throw invalidArgumentsError(
      "a confirmation is required, but standard input is not a terminal; use --yes",
    );
  }
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    return (await terminal.question('Type "yes" to continue: ', { signal })).trim() === "yes";
  } finally {
    terminal.close();
  }
}

/** Returns the text that explains the effects of a recovery, and which changes can be lost. */
export function describePlan({ address, others, log, copy }: RecoveryPlan): string {
  const uncommitted = log.lastIndex - log.commit;
  return [
    "",
    `The server at ${address} will be the only one of its cluster. These servers are removed for good:`,
    "",
    ...others.map((member) => `  ${member.address}: ${describeResponse(member)}`),
    "",
    `The log of this server's etcd ends with entry ${log.lastIndex} of term ${log.lastTerm}. All entries are kept, ` +
      `including ${uncommitted} that may not have been confirmed.`,
    "Changes are lost if the other servers confirmed them while this server was off or cut off. Nothing that was",
    "confirmed is lost if this server was running until the quorum was lost.",
    "",
    `A copy of the current data is kept in ${copy}.`,
    "Never start the removed servers with their data while this server is off: they would continue with their former",
    "state. When they reach this server, they stop by themselves.",
    "",
    "",
  ].join("\n");
}

function describeResponse({ answer }: QueriedMember): string {
  switch (answer.kind) {
    case "running":
      return "running, without a quorum";
    case "stopped":
      return "not running";
    case "unreachable":
      return `unreachable (${answer.reason})`;
    default:
      return assertNever(answer);
  }
}

function nextSteps({ address }: RecoveryPlan, dataDir: string): string {
  const options = dataDir === DEFAULT_DATA_DIR ? "" : ` --data-dir ${dataDir}`;
  return [
    "This server is now the only server of its cluster. Start it as usual:",
    "",
    `  berth server --listen ${address}:7400${options}`,
    "",
    "Agents connect to it again, and containers continue to run. Then add servers with tokens of",
    '"berth token create --role server". A host of a removed server needs an empty data directory to join.',
    "",
  ].join("\n");
}

function invalidArgumentsError(problem: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${problem}\nSee 'berth server recover --help'.`,
  });
}
