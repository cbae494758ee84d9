import { BERTH_VERSION } from "@berth/proto";
import { Command, CommanderError, Option } from "commander";
import { DEFAULT_ADDRESS, readAdvertiseAddress } from "../agent/advertise-address.js";
import { DEFAULT_DATA_DIR } from "../config.js";
import { openStateDirectory } from "../runtime/state-directory.js";
import { readJoinedCluster } from "./joined-cluster.js";
import { exitCodeOf, formatFindings } from "./report.js";
import { runChecks } from "./run-checks.js";

const EXIT_BAD_INPUT = 2;
/** Exit code that shells use for SIGINT. */
const EXIT_INTERRUPTED = 130;

const HELP_EPILOGUE = `
Exit codes: 0 no check failed, 1 at least one check failed, 2 bad input.

Examples:
  $ berth doctor --server 10.0.0.1:7400 --advertise 10.0.0.11
  $ berth doctor -o json
`;

interface DoctorOptions {
  readonly server: string;
  readonly advertise: string;
  readonly dataDir: string;
  readonly dockerSocket: string;
  readonly ingressUser: string;
  readonly output: "table" | "json";
}

/** Runs `berth doctor`: checks the host that it runs on with the agent's options, and prints a report. */
export async function main(argv: readonly string[]): Promise<number> {
  const command = doctorCommand();
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  }
  const { server, advertise, dataDir, dockerSocket, ingressUser, output } = command.opts<DoctorOptions>();
  const interrupted = new AbortController();
  const onInterrupt = (): void => interrupted.abort();
  process.once("SIGINT", onInterrupt);
  try {
    const { servers, identity } = await readJoinedCluster(dataDir);
    // A data directory that cannot be read is a finding of the checks.
    const storedAddress = await readAdvertiseAddress(openStateDirectory(dataDir)).catch(() => undefined);
    const configured = server.split(",").filter((address) => address !== "");
    const findings = await runChecks({
      servers: configured.length > 0 ? configured : servers,
      ...(identity && { identity }),
      advertiseAddress: advertise || storedAddress || DEFAULT_ADDRESS,
      dataDir,
      dockerSocket,
      ingressUser,
      signal: interrupted.signal,
    });
    const report =
      output === "json"
        ? `${JSON.stringify({ findings }, null, 2)}\n`
        : formatFindings(findings, { colors: supportsColors() });
    process.stdout.write(report);
    return exitCodeOf(findings);
  } catch (error) {
    if (interrupted.signal.aborted) return EXIT_INTERRUPTED;
    throw error;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

function supportsColors(): boolean {
  const { NO_COLOR = "", TERM } = process.env;
  return process.stdout.isTTY && NO_COLOR === "" && TERM !== "dumb";
}

function doctorCommand(): Command {
  const { env } = process;
  const withEnv = (flags: string, description: string, variable: string, fallback: string): Option =>
    new Option(flags, `${description} [${variable}]`).default(env[variable] ?? fallback);
  return new Command("berth doctor")
    .description(
      "Check whether this Docker host meets the requirements of berth, and print how to fix problems.\nThe command changes nothing.",
    )
    .version(BERTH_VERSION, "--version")
    .addOption(withEnv("-s, --server <host:port,...>", "control-plane servers", "BERTH_SERVER", ""))
    .addOption(
      withEnv("--advertise <address>", "address at which other hosts reach this host", "BERTH_ADVERTISE", ""),
    )
    .addOption(
      withEnv("--data-dir <path>", "data directory of the agent", "BERTH_DATA_DIR", DEFAULT_DATA_DIR),
    )
    .addOption(
      withEnv("--docker-socket <path>", "Docker socket", "BERTH_DOCKER_SOCKET", "/var/run/docker.sock"),
    )
    .addOption(
      withEnv("--ingress-user <name>", "user of the agent's ingress process", "BERTH_INGRESS_USER", ""),
    )
    .addOption(
      new Option("-o, --output <format>", "output format").choices(["table", "json"]).default("table"),
    )
    .addHelpText("after", HELP_EPILOGUE)
    .exitOverride();
}
