import { existsSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { BERTH_VERSION, ERROR_CODES, isBerthError } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import { loadOrCreateOwnerKey } from "../agent/owner-key.js";
import { DEFAULT_DATA_DIR } from "../config.js";
import { containerOwner } from "../engine/container-owner.js";
import { DockerodeEngine } from "../engine/dockerode/dockerode-engine.js";
import { secretsMountPoint } from "../files/tmpfs-task-files.js";
import { openStateDirectory } from "../runtime/state-directory.js";
import { resetHost } from "./reset-host.js";

const EXIT_FAILED = 1;
const EXIT_BAD_INPUT = 2;
/** Exit code that shells use for SIGINT. */
const EXIT_INTERRUPTED = 130;

const HELP_EPILOGUE = `
Stop the agent first. To move its tasks to other hosts, run "berth node drain" on a server before that.

Named volumes, containers of other programs and the identity of this host stay. Settings of the kernel that the agent
has raised, such as timeouts of connection tracking, stay until the next boot.

Exit codes: 0 removed, 1 something could not be removed, 2 bad input, 130 interrupted.

Examples:
  $ systemctl stop berth-agent && berth agent reset
  $ berth agent reset --keep-containers --yes
`;

interface ResetCommandOptions {
  readonly dataDir: string;
  readonly dockerSocket: string;
  readonly keepContainers: boolean;
  readonly yes: boolean;
}

/** Runs `berth agent reset`. Returns its exit code. */
export async function runResetCommand(argv: readonly string[]): Promise<number> {
  const command = resetCommand();
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  }
  const { dataDir, dockerSocket, keepContainers, yes } = command.opts<ResetCommandOptions>();
  if (!existsSync(dataDir)) {
    process.stdout.write(`nothing to remove: no agent has used ${dataDir}\n`);
    return 0;
  }
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort();
  process.once("SIGINT", onInterrupt).once("SIGTERM", onInterrupt);
  const { signal } = interrupted;
  try {
    if (!yes && !(await confirm(keepContainers, signal))) return EXIT_INTERRUPTED;
    const stateDirectory = openStateDirectory(dataDir);
    const isComplete = await resetHost(
      {
        dataDir,
        keepContainers,
        engine: new DockerodeEngine(dockerSocket, containerOwner(await loadOrCreateOwnerKey(stateDirectory))),
        secretsDirectory: secretsMountPoint(dataDir),
        report: (line) => process.stdout.write(`${line}\n`),
      },
      signal,
    );
    return isComplete ? 0 : EXIT_FAILED;
  } catch (error) {
    if (signal.aborted) return EXIT_INTERRUPTED;
    if (!isBerthError(error)) throw error;
    process.stderr.write(`error: ${error.message}\n(${error.code})\n`);
    return ERROR_CODES[error.code].exitCode;
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
}

async function confirm(keepContainers: boolean, signal: AbortSignal): Promise<boolean> {
  const removedText = keepContainers ? "published ports" : "all containers of berth";
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`Remove ${removedText} from this host? [y/N] `, { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    prompt.close();
  }
}

function resetCommand(): Command {
  const { BERTH_DATA_DIR: dataDir = DEFAULT_DATA_DIR, BERTH_DOCKER_SOCKET: socket = "/var/run/docker.sock" } =
    process.env;
  return new Command("berth agent reset")
    .description(
      "Remove everything that the agent added to this host: containers, networks, published ports and rules",
    )
    .version(BERTH_VERSION, "--version")
    .option("--keep-containers", "keep the containers, their networks and their secrets", false)
    .option("-y, --yes", "do not ask for confirmation", false)
    .addOption(
      new Option("--data-dir <path>", "data directory of the agent [BERTH_DATA_DIR]").default(dataDir),
    )
    .addOption(new Option("--docker-socket <path>", "Docker socket [BERTH_DOCKER_SOCKET]").default(socket))
    .addHelpText("after", HELP_EPILOGUE)
    .exitOverride();
}
