import { diskError, isBerthError } from "@berth/proto";
import { type Logger, pino } from "pino";
import { chooseAdvertiseAddress } from "./agent/advertise-address.js";
import { runAgent } from "./agent/agent.js";
import { exitOnUnhandledErrors } from "./agent/fatal-errors.js";
import { hostPlatform } from "./agent/platform.js";
import { loadState } from "./agent/state-file.js";
import { type AgentConfig, parseConfig } from "./config.js";
import { runJoinCommand } from "./join/join-command.js";

/**
 * Runs `berth agent` or `berth agent join`. Returns its exit code: 0 after a stop signal, 1 after a failure, 2 for invalid
 * arguments.
 */
export function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  return first === "join" ? runJoinCommand(rest) : runAgentCommand(argv);
}

/** Runs `berth agent` until a stop signal. Returns its exit code. */
async function runAgentCommand(argv: readonly string[]): Promise<number> {
  const parsed = parseConfig(argv, process.env);
  if (parsed.kind === "done") return 0;
  if (parsed.kind === "invalid") {
    for (const problem of parsed.problems) process.stderr.write(`berth agent: ${problem}\n`);
    process.stderr.write("See berth agent --help\n");
    return 2;
  }
  const log = pino({ name: "berth-agent", level: parsed.config.logLevel });
  const stopping = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "agent stopping");
    stopping.abort();
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  const removeHandlers = exitOnUnhandledErrors(process, { log, exit: (code) => process.exit(code) });
  try {
    await runOnHost(parsed.config, log, stopping.signal);
    return 0;
  } catch (error) {
    const { dataDir } = parsed.config;
    const failure = isBerthError(error) ? error : diskError(error, dataDir);
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
  const saved = await loadState(platform.disk, log);
  const known = { configured, servers: [...servers, ...saved.servers] };
  const advertiseAddress = await chooseAdvertiseAddress(platform.disk, known).catch((error: unknown) => {
    platform.release();
    throw error;
  });
  await runAgent({ config: { servers, advertiseAddress }, platform, log }, signal);
}
