import { BerthError, ExecStart, isBerthError } from "@berth/proto";
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
    const start = createStart(options, { target, command, env, size: session.size });
    const result = await withClient(cli, options, (client) => session.run(client, start));
    if (result.kind === "exited" && result.exitCode !== 0) throw new ExitStatus(result.exitCode);
  } catch (error) {
    if (error instanceof ExitStatus) throw error;
    throw new ExitStatus(EXIT_BERTH_FAILED, withTaskContext(error, options, session));
  }
}

interface Execution {
  readonly target: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly size: ContainerSession["size"];
}

function createStart(
  { interactive, tty, user, workdir, detach }: ExecOptions,
  { target, command, env, size }: Execution,
): ExecStart {
  return ExecStart.fromPartial({
    target,
    command: {
      command: [...command],
      env: [...env],
      user: user ?? "",
      workingDir: workdir ?? "",
      tty: tty ?? false,
      stdin: interactive ?? false,
      detach: detach ?? false,
      size: tty ? size : undefined,
    },
  });
}

/** Adds the task to an error that occurs after the command has started. */
function withTaskContext(error: unknown, { detach }: ExecOptions, { started }: ContainerSession): unknown {
  if (started === undefined || !isBerthError(error)) return error;
  const { code, message, details } = error;
  const task = `task ${started.taskId} on ${started.nodeHostname}`;
  // A detached command continues. The node sends SIGHUP to any other command whose client is gone.
  const consequence = detach ? "" : " (the command receives SIGHUP)";
  return new BerthError({
    code,
    message: `lost connection to the command in ${task}${consequence}: ${message}`,
    details,
    cause: error,
  });
}
