import { hostname } from "node:os";
import { BerthError } from "@berth/proto";
import { readSecret, type SecretStreams } from "@berth/proto/terminal";
import { Command, CommanderError, Option } from "commander";
import { isHostPort } from "../config.js";
import { DEFAULT_DATA_DIR } from "../server-command.js";
import { joinServer } from "./join-server.js";

const EXAMPLES = `
Examples:
  # Enter the token at a prompt
  $ berth server join 10.0.0.1:7400

  # Read the token from a file, or from standard input
  $ berth server join 10.0.0.1:7400 --token-file token.txt
  $ ssh 10.0.0.1 berth token create --role server --quiet | berth server join 10.0.0.1:7400 --token-file -
`;

interface JoinArguments {
  readonly address: string;
  readonly tokenFile: string | undefined;
  readonly dataDir: string;
}

/** Standard input and output of the command. */
export interface JoinStreams extends SecretStreams {
  readonly stdout: { write(text: string): unknown };
}

/**
 * Runs `berth server join`.
 *
 * @throws BerthError BERTH_INPUT_INVALID for invalid arguments, and the errors of `joinServer`
 */
export async function runJoin(
  argv: readonly string[],
  env: Readonly<NodeJS.ProcessEnv>,
  streams: JoinStreams,
  signal: AbortSignal,
): Promise<void> {
  const parsed = parseJoinArguments(argv, env);
  if (parsed.kind === "text") {
    streams.stdout.write(parsed.text);
    return;
  }
  const { address, tokenFile, dataDir } = parsed;
  const source = { file: tokenFile, prompt: "Join token: ", what: "join token" };
  const token = await readSecret(source, streams, signal);
  streams.stderr.write(`Joining the cluster of ${address}\n`);
  const { cluster, serverId } = await joinServer({ address, token, dataDir, hostname: hostname() }, signal);
  streams.stdout.write(nextSteps({ cluster, serverId, dataDir }));
}

type ParsedJoin =
  | { readonly kind: "text"; readonly text: string }
  | ({ readonly kind: "join" } & JoinArguments);

/**
 * Parses the arguments after `berth server join`.
 *
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function parseJoinArguments(argv: readonly string[], env: Readonly<NodeJS.ProcessEnv>): ParsedJoin {
  let text = "";
  const command = new Command("berth server join")
    .description("Join a cluster as a server, with a token of `berth token create --role server`")
    .argument("<address>", "HOST:PORT of a server of the cluster")
    .addOption(new Option("--token-file <path>", "File with the join token; - for standard input"))
    .addOption(
      new Option("--data-dir <dir>", "Data directory of this server [BERTH_DATA_DIR]").default(
        env.BERTH_DATA_DIR || DEFAULT_DATA_DIR,
      ),
    )
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
  const [address = ""] = command.args;
  const { tokenFile, dataDir } = command.opts<{ tokenFile?: string; dataDir: string }>();
  if (!isHostPort(address)) {
    throw invalidArgumentsError(`invalid address ${JSON.stringify(address)}; use HOST:PORT`);
  }
  if (dataDir === "") throw invalidArgumentsError("--data-dir must not be empty");
  return { kind: "join", address, tokenFile, dataDir };
}

function nextSteps({
  cluster,
  serverId,
  dataDir,
}: {
  readonly cluster: string;
  readonly serverId: string;
  readonly dataDir: string;
}): string {
  const options = dataDir === DEFAULT_DATA_DIR ? "" : ` --data-dir ${dataDir}`;
  return [
    `This host has joined the cluster ${cluster} as server ${serverId}.`,
    "Start the server with the address at which other hosts reach it:",
    "",
    `  berth server --listen ADDRESS:7400${options}`,
    "",
    "If the cluster uses an external etcd, add the --etcd options of the other servers.",
    "",
  ].join("\n");
}

function invalidArgumentsError(problem: string): BerthError {
  return new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${problem}\nSee 'berth server join --help'.`,
  });
}
