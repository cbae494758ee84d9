import { BERTH_VERSION } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import { exitCodeOf, formatFindings } from "./report.js";
import { runChecks } from "./run-checks.js";

const EXAMPLES = `
Exit codes: 0 all is well, or could only be better; 1 something does not work; 2 bad input.

Examples:
  $ berth doctor --server 10.0.0.1:7400 --advertise 10.0.0.11
  $ berth doctor -o json
`;

/** `berth doctor`: looks at the host that it runs on, as its agent would, and changes nothing. */
export async function main(argv: readonly string[]): Promise<number> {
  const command = doctorCommand();
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  const options: Record<string, string> = command.opts();
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once("SIGINT", interrupt);
  try {
    const findings = await runChecks({
      servers: (options.server ?? "").split(",").filter((one) => one !== ""),
      advertiseAddress: options.advertise ?? "",
      dataDir: options.dataDir ?? "",
      dockerSocket: options.dockerSocket ?? "",
      signal: interrupted.signal,
    });
    const colours =
      process.stdout.isTTY && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
    const text =
      options.output === "json"
        ? `${JSON.stringify({ findings }, null, 2)}\n`
        : formatFindings(findings, { colours });
    process.stdout.write(text);
    return exitCodeOf(findings);
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    throw error;
  } finally {
    process.off("SIGINT", interrupt);
  }
}

function doctorCommand(): Command {
  const { env } = process;
  const withEnv = (flags: string, description: string, variable: string, fallback: string): Option =>
    new Option(flags, `${description} [${variable}]`).default(env[variable] ?? fallback);
  return new Command("berth doctor")
    .description(
      "Looks whether this Docker host can do all that berth asks of it, and says what to do if not.",
    )
    .version(BERTH_VERSION, "--version")
    .addOption(withEnv("-s, --server <host:port,...>", "servers of the control plane", "BERTH_SERVER", ""))
    .addOption(
      withEnv("--advertise <address>", "where other hosts reach this one", "BERTH_ADVERTISE", "127.0.0.1"),
    )
    .addOption(withEnv("--data-dir <path>", "the agent's folder", "BERTH_DATA_DIR", "/var/lib/berth/agent"))
    .addOption(
      withEnv("--docker-socket <path>", "the Docker daemon", "BERTH_DOCKER_SOCKET", "/var/run/docker.sock"),
    )
    .addOption(
      new Option("-o, --output <format>", "how to print").choices(["table", "json"]).default("table"),
    )
    .addHelpText("after", EXAMPLES)
    .exitOverride();
}
