import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./command-options.js";

/** Default time to wait for a host. An idle host is ready within seconds. */
const DEFAULT_TIMEOUT = "5m";
/** Default validity of a token, as for `berth token create`. */
const DEFAULT_TTL = "1h";
const DEFAULT_USES = "1";

/** Adds `berth host …`. */
export function addHostCommands(program: Command, cli: Cli): void {
  const host = program.command("host").description("Add hosts to the cluster, and remove them");
  addExamples(
    host
      .command("add")
      .argument("<user@host>", "destination of ssh; the user is root, or may use sudo without a password")
      .description("Install berth on a host over ssh, and make the host a node or a server of the cluster")
      .addOption(
        new Option("--role <role>", "what the host becomes").choices(["node", "server"]).default("node"),
      )
      .addOption(repeatableOption("--label <key=value>", "label of the node"))
      .option(
        "--advertise <address>",
        "IP address at which other hosts reach the host (default: that of the ssh connection)",
      )
      .option(
        "--package <file>",
        "Debian package to install (default: the package of this command line, or a file in /var/lib/berth/packages)",
      )
      .option("--dry-run", "print the steps, and change nothing")
      .option("-f, --force", "also add a host for which berth doctor reports failures")
      .option("--timeout <duration>", "maximum time to wait until the host is ready", DEFAULT_TIMEOUT)
      .action(lazyAction(cli, async () => (await import("../commands/host/add.js")).addHost)),
    [
      "berth host add root@10.0.0.2",
      "berth host add root@10.0.0.2 --label zone=a --label disk=ssd",
      "berth host add root@10.0.0.3 --role server",
      "berth host add admin@10.0.0.4 --package build/package/berth_0.2.0_arm64.deb",
    ],
  );
  addExamples(
    host
      .command("rm")
      .alias("remove")
      .argument("<user@host|node>", "destination of ssh, or a node, which ssh reaches as root at its address")
      .description("Drain a host, remove it from the cluster, and remove berth from it over ssh")
      .option("--keep-containers", "keep the containers that are left on the host")
      .option("--dry-run", "print the steps, and change nothing")
      .option("-f, --force", "remove the host without moving its tasks to other nodes first")
      .option("--timeout <duration>", "maximum time to wait until its tasks have moved", DEFAULT_TIMEOUT)
      .action(lazyAction(cli, async () => (await import("../commands/host/rm.js")).removeHost)),
    ["berth host rm root@10.0.0.2", "berth host rm host-2", "berth host rm --force host-2"],
  );
  addInstallCommands(host, cli);
}

/** Adds the commands for hosts that ssh does not reach. */
function addInstallCommands(host: Command, cli: Cli): void {
  addExamples(
    addTokenOptions(
      host
        .command("script")
        .description(
          "Print a line that installs berth from the servers on a host, which then joins as a node",
        ),
    ).action(lazyAction(cli, async () => (await import("../commands/host/script.js")).printInstallLine)),
    ["berth host script", "berth host script --label zone=b --name host-4"],
  );
  addExamples(
    addTokenOptions(
      host
        .command("user-data")
        .description("Print user data for cloud-init, with which machines install berth and join as nodes"),
    ).action(lazyAction(cli, async () => (await import("../commands/host/user-data.js")).printUserData)),
    ["berth host user-data > user-data.yaml", "berth host user-data --uses 20 --ttl 24h --label pool=web"],
  );
}

function addTokenOptions(command: Command): Command {
  return command
    .addOption(repeatableOption("--label <key=value>", "label of the nodes"))
    .option("--ttl <duration>", "how long hosts can join with it: 1m to 30d", DEFAULT_TTL)
    .option("--uses <number>", "number of hosts that can join with it: 1 to 10000", DEFAULT_USES)
    .option("--name <node>", "only admit a host with this name")
    .option("--approve", 'require "berth node accept" for the nodes');
}
