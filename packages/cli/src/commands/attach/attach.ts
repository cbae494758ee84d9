import { BerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { ContainerSession, EXIT_BERTH_FAILED } from "../streams/container-session.js";
import { parseDetachKeys } from "../streams/detach-keys.js";

export interface AttachOptions extends GlobalOptions {
  readonly stdin?: boolean;
  readonly sigProxy: string;
  readonly detachKeys: string;
}

/**
 * `berth attach TASK|SERVICE`: connects to the main process of a task.
 *
 * @throws ExitStatus with the exit code of the container, or 125 if berth failed
 */
export async function attachToTask(cli: Cli, options: AttachOptions, target: string): Promise<void> {
  try {
    const stdin = options.stdin !== false;
    const detachKeys = parseDetachKeys(options.detachKeys);
    const signals = options.sigProxy === "false" ? "none" : "all";
    const session = new ContainerSession(cli, { stdin, signals, detachKeys });
    const attach = { stdin, size: session.size, waitMs: 0 };
    const others = { readArchive: undefined, writeArchive: undefined, connectPort: undefined };
    const start = { target, command: undefined, attach, ...others };
    const end = await withClient(cli, options, (client) => session.run(client, start));
    if (end.kind === "detached" || end.exitCode === 0) return;
    const cause =
      end.error === "" ? undefined : new BerthError({ code: "BERTH_TASK_FAILED", message: end.error });
    throw new ExitStatus(end.exitCode, cause);
  } catch (error) {
    if (error instanceof ExitStatus) throw error;
    throw new ExitStatus(EXIT_BERTH_FAILED, error);
  }
}
