import { isBerthError } from "@berth/proto";
import { pino } from "pino";
import { runAgent } from "./agent/agent.js";
import { hostPlatform } from "./agent/platform.js";
import { parseConfig } from "./config.js";

/** `berth agent`: returns the exit code when the agent was told to stop (0), failed (1), or was started wrongly (2). */
export async function main(argv: readonly string[]): Promise<number> {
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
    log.info({ signal }, "agent stops");
    stopping.abort();
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  try {
    const edges = await hostPlatform(parsed.config);
    await runAgent({ config: parsed.config, platform: edges, log }, stopping.signal);
    return 0;
  } catch (error) {
    if (isBerthError(error)) log.fatal({ code: error.code, cause: error.cause }, error.message);
    else log.fatal({ err: error }, "agent cannot go on");
    return 1;
  } finally {
    process.off("SIGTERM", stop).off("SIGINT", stop);
  }
}
