import { type BerthError, ERROR_CODES, isBerthError } from "@berth/proto";
import type { Logger } from "pino";
import { parseArguments, type ServerConfig } from "./config.js";
import { createLogger } from "./logger.js";
import { onAbort } from "./runtime/abort.js";
import { systemRuntime } from "./runtime/runtime.js";
import { startServer } from "./server/server.js";
import { type EmbeddedEtcd, startEmbeddedEtcd } from "./store/embedded/embedded-etcd.js";
import { EtcdStore } from "./store/etcd/etcd-store.js";

/** `berth server`: runs until SIGTERM or SIGINT. Returns the exit code: 0 stopped, 2 bad settings, 1 or 3 could not run. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const parsed = parseArguments(argv, process.env);
    if (parsed.kind === "text") {
      process.stdout.write(parsed.text);
      return 0;
    }
    await runUntilStopped(parsed.config);
    return 0;
  } catch (error) {
    if (!isBerthError(error)) throw error;
    return failed(error);
  }
}

async function runUntilStopped(config: ServerConfig): Promise<void> {
  const logger = createLogger(config.logLevel);
  const stopping = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, "stopping");
    stopping.abort();
  };
  const survive = (error: unknown): void => logger.error({ err: error }, "an error was not handled");
  process.on("unhandledRejection", survive).on("SIGTERM", stop).on("SIGINT", stop);
  try {
    await run(config, logger, stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    process.off("unhandledRejection", survive).off("SIGTERM", stop).off("SIGINT", stop);
  }
}

/** Started in this order, stopped in the reverse: etcd last, so that the leader can resign. */
async function run(config: ServerConfig, logger: Logger, signal: AbortSignal): Promise<void> {
  const etcd = await embeddedEtcd(config, logger, signal);
  const store = new EtcdStore({ endpoints: config.etcd ?? etcd?.endpoints ?? NO_ENDPOINTS });
  try {
    const server = await startServer(
      {
        ...config,
        store,
        runtime: systemRuntime,
        logger,
        // An etcd that is not ours may have reasons of its own to be led from elsewhere.
        ...(etcd && config.etcdCluster && { moveEtcdLeader: (asked) => store.moveLeader(asked) }),
      },
      signal,
    );
    await server.stopped;
    logger.info("stopped");
  } finally {
    store.close();
    await etcd?.stop();
  }
}

const NO_ENDPOINTS: readonly [string] = ["http://127.0.0.1:2379"];

/** The stop signal ends the start, but not what was started: etcd is needed until everything else has stopped. */
async function embeddedEtcd(
  config: ServerConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<EmbeddedEtcd | undefined> {
  if (config.etcd !== undefined) return undefined;
  const { dataDir, etcdCluster: cluster } = config;
  const starting = new AbortController();
  const forget = onAbort(signal, () => starting.abort(signal.reason));
  try {
    return await startEmbeddedEtcd(
      { dataDir, cluster, logger: logger.child({ part: "etcd" }) },
      starting.signal,
    );
  } finally {
    forget();
  }
}

function failed(error: BerthError): number {
  process.stderr.write(`berth server: ${error.message}\n`);
  return ERROR_CODES[error.code].exit;
}
