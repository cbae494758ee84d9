import { BerthError, diskError, ERROR_CODES, isAbortError, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { parseArguments } from "./config.js";
import type { runJoin } from "./join/run-join.js";
import { createLogger } from "./logger.js";
import type { runRecover } from "./recover/run-recover.js";

/** Time for the server to resign after an unhandled rejection. Then the process exits. */
const FATAL_STOP_TIMEOUT_MS = 5_000;

/**
 * Runs `berth server` until SIGTERM or SIGINT, or one of its commands. Each loads its code on demand, so that
 * `--help` is fast.
 *
 * @returns the exit code: 0 after a signal, 2 for invalid settings, 1 or 3 for a failure
 */
export async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === "join") return runCommand("join", (await import("./join/run-join.js")).runJoin, rest);
  if (first === "recover") {
    return runCommand("recover", (await import("./recover/run-recover.js")).runRecover, rest);
  }
  try {
    const parsed = parseArguments(argv, process.env);
    if (parsed.kind === "text") {
      process.stdout.write(parsed.text);
      return 0;
    }
    const { config } = parsed;
    const logger = createLogger(config.logLevel);
    const { runServer } = await import("./run-server.js");
    const run = (signal: AbortSignal): Promise<void> =>
      runServer(config, logger, signal).catch((error: unknown) => {
        throw diskError(error, config.dataDir) ?? error;
      });
    return await runProcess(run, { logger, events: process });
  } catch (error) {
    if (!isBerthError(error)) throw error;
    return reportFailure(error);
  }
}

export interface ProcessOptions {
  readonly logger: Logger;
  /** The process's signals and unhandled rejections. */
  readonly events: Pick<NodeJS.Process, "on" | "off">;
  /** @default process.exit */
  readonly exit?: (code: number) => void;
}

/**
 * Runs `run` until it returns. Aborts its signal on SIGTERM, SIGINT or an unhandled rejection.
 *
 * The state of the process is unknown after an unhandled rejection. The process logs the reason, stops and exits with
 * 1, and its supervisor restarts it.
 *
 * @returns the exit code
 */
export async function runProcess(
  run: (signal: AbortSignal) => Promise<void>,
  { logger, events, exit = (code) => process.exit(code) }: ProcessOptions,
): Promise<number> {
  const stopping = new AbortController();
  let exitCode = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, "stopping");
    stopping.abort();
  };
  const onUnhandledRejection = (reason: unknown): void => {
    logger.fatal({ err: reason }, "unhandled rejection; stopping");
    if (exitCode === 0) setTimeout(() => exit(1), FATAL_STOP_TIMEOUT_MS).unref();
    exitCode = 1;
    stopping.abort();
  };
  events.on("unhandledRejection", onUnhandledRejection).on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    await run(stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    // The end of a call or of the start is no failure.
    const isExpected = isAbortError(error) || isBerthError(error, "BERTH_CANCELLED");
    if (!isExpected) logger.error({ err: error }, "failed to stop cleanly");
  } finally {
    events.off("unhandledRejection", onUnhandledRejection).off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
  return exitCode;
}

/** Runs a command such as `berth server join`. Returns the exit code. */
async function runCommand(
  name: string,
  run: typeof runJoin | typeof runRecover,
  argv: readonly string[],
): Promise<number> {
  const stopping = new AbortController();
  const stop = (): void =>
    stopping.abort(
      new BerthError({ code: "BERTH_CANCELLED", message: "interrupted; run the command again to continue" }),
    );
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await run(argv, process.env, process, stopping.signal);
    return 0;
  } catch (error) {
    if (!isBerthError(error)) throw error;
    return reportFailure(error, `berth server ${name}`);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

/** Prints the error. Returns the exit code. */
function reportFailure(error: BerthError, program = "berth server"): number {
  process.stderr.write(`${program}: ${error.message}\n`);
  return ERROR_CODES[error.code].exitCode;
}
