import { BerthError, type ExecStart, isBerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { type EnvironmentOptions, readEnvironment } from "../shared/read-environment.js";
import { ContainerSession, EXIT_BERTH_FAILED } from "../streams/container-session.js";

export interface ExecOptions extends GlobalOptions, EnvironmentOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly user?: string;
  readonly workdir?: string;
  readonly detach?: boolean;
}

/**
 * `berth exec TASK|SERVICE COMMAND…`: runs a command in the container of a task.
 *
 * @throws ExitStatus with the command's exit code, or 125 if berth failed.
 */
export async function execInTask(
  cli: Cli,
  options: ExecOptions,
  target: string,
  command: readonly string[],
): Promise<void> {
  const { interactive = false, tty = false } = options;
  const session = new ContainerSession(cli, { stdin: interactive, tty, signals: "first" });
  try {
    const env = await readEnvironment(cli, options);
    const start = startOf(options, { target, command, env, size: session.size });
    const end = await withClient(cli, options, (client) => session.run(client, start));
    if (end.kind === "exited" && end.exitCode !== 0) throw new ExitStatus(end.exitCode);
  } catch (error) {
    if (error instanceof ExitStatus) throw error;
    throw new ExitStatus(EXIT_BERTH_FAILED, withTaskContext(error, session));
  }
}

interface Execution {
  readonly target: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly size: ContainerSession["size"];
}

function startOf(options: ExecOptions, { target, command, env, size }: Execution): ExecStart {
  const { interactive = false, tty = false, user = "", workdir = "", detach = false } = options;
  return {
    target,
    attach: undefined,
    readArchive: undefined,
    writeArchive: undefined,
    connectPort: undefined,
    command: {
      command: [...command],
      env: [...env],
      user,
      workingDir: workdir,
      tty,
      stdin: interactive,
      detach,
      size: tty ? size : undefined,
    },
  };
}

/** Adds the task to an error that occurs after the command has started. */
function withTaskContext(error: unknown, { started }: ContainerSession): unknown {
  if (started === undefined || !isBerthError(error)) return error;
  const { code, message, details } = error;
  const task = `task ${started.taskId} on ${started.nodeHostname}`;
  return new BerthError({
    code,
    message: `lost connection to the command in ${task}; it was sent SIGHUP: ${message}`,
    details,
    cause: error,
  });
}
