import { parseConfig } from "./config.js";

/**
 * Runs `berth agent`, or one of its commands. Each command loads its code on demand, since the help and `join` need
 * little of it.
 *
 * @returns the exit code: 0 after a stop signal, 1 after a failure, 2 for invalid arguments
 */
export async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === "join") return (await import("./join/join-command.js")).runJoinCommand(rest);
  if (first === "reset") return (await import("./reset/reset-command.js")).runResetCommand(rest);
  const parsed = parseConfig(argv, process.env);
  switch (parsed.kind) {
    case "done":
      return 0;
    case "invalid":
      for (const problem of parsed.problems) process.stderr.write(`berth agent: ${problem}\n`);
      process.stderr.write("See berth agent --help\n");
      return 2;
    case "config":
      return (await import("./run-agent-process.js")).runAgentProcess(parsed.config);
  }
}
