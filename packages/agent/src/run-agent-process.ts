import { diskError, isBerthError } from "@berth/proto";
import { serviceManager } from "@berth/proto/service-manager";
import type { Logger } from "pino";
import { chooseAdvertiseAddress } from "./agent/advertise-address.js";
import { runAgent } from "./agent/agent.js";
import { exitOnUnhandledErrors } from "./agent/fatal-errors.js";
import { hostPlatform } from "./agent/platform.js";
import { loadState } from "./agent/state-file.js";
import type { AgentConfig } from "./config.js";
import { createLogger } from "./runtime/logger.js";

/** Runs the agent until a stop signal. Returns the exit code of the process: 0 after a signal, 1 after a failure. */
export async function runAgentProcess(config: AgentConfig): Promise<number> {
  const log = createLogger("berth-agent", config.logLevel);
  const stopping = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "agent stopping");
    stopping.abort();
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  const removeHandlers = exitOnUnhandledErrors(process, { log, exit: (code) => process.exit(code) });
  try {
    await runOnHost(config, log, stopping.signal);
    return 0;
  } catch (error) {
    const failure = isBerthError(error) ? error : diskError(error, config.dataDir);
    if (failure !== undefined) log.fatal({ code: failure.code, cause: failure.cause }, failure.message);
    else log.fatal({ err: error }, "agent failed");
    return 1;
  } finally {
    removeHandlers();
    process.off("SIGTERM", stop).off("SIGINT", stop);
  }
}

async function runOnHost(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const { servers, advertiseAddress: configured } = config;
  const platform = await hostPlatform(config, log);
  const saved = await loadState(platform.stateDirectory, log);
  const addressSources = { configured, servers: [...servers, ...saved.servers] };
  const advertiseAddress = await chooseAdvertiseAddress(platform.stateDirectory, addressSources).catch(
    (error: unknown) => {
      platform.release();
      throw error;
    },
  );
  const manager = serviceManager({
    env: process.env,
    onFailure: (error) => log.warn({ err: error }, "cannot report to systemd"),
  });
  signal.addEventListener("abort", () => void manager.stopping(), { once: true });
  // The agent is ready without a server: its containers run, and it keeps connecting.
  await manager.ready();
  await runAgent({ config: { servers, advertiseAddress }, platform, log }, signal);
}
