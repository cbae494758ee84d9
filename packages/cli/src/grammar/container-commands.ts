import { type Command, Option } from "commander";
import { RUN_OPTIONS } from "../commands/run/run-flags.js";
import type { Cli } from "../process/cli.js";
import { addExamples, addRefusedOptions, lazyAction, repeatableOption } from "./command-options.js";
import { REFUSED_RUN_OPTIONS } from "./refused-options.js";
import { addFlagOptions } from "./update-flags.js";

/** Docker's default keys to detach. */
const DETACH_KEYS = "ctrl-p,ctrl-q";

/** Adds the commands that work on one container, as with Docker on one host: `run`, `attach`, `cp`, `port-forward`. */
export function addContainerCommands(program: Command, cli: Cli): void {
  addRun(program, cli);
  addAttach(program, cli);
  addCopy(program, cli);
  addPortForward(program, cli);
}

function addRun(program: Command, cli: Cli): void {
  const run = program
    .command("run")
    // As in Docker, -h sets the hostname.
    .helpOption("--help", "display help for command")
    .argument("<image>")
    .argument("[command...]", "command and arguments that override the image's")
    .description("Create and run a new container on any node")
    .option("-i, --interactive", "keep STDIN open")
    .option("-t, --tty", "allocate a pseudo-TTY")
    .option("-d, --detach", "run the container in the background and print the name of its service")
    .option(
      "--rm",
      "remove the container and its service when it exits, even if this command has ended before",
    )
    .option("--name <name>", "service name (default: the image name with a random suffix)")
    .option(
      "--stack <stack>",
      "create the service in this stack; the stack name becomes a prefix of the service name",
    )
    .option("--node <node>", "run on the node with this hostname")
    .addOption(
      repeatableOption("-v, --volume <volume>", "mount a volume or a path on the node: SOURCE:TARGET[:ro]"),
    )
    .addOption(repeatableOption("--tmpfs <mount>", "mount a tmpfs directory: TARGET[:size=64m,mode=1777]"))
    .addOption(repeatableOption("--env-file <file>", "read in a file of environment variables"))
    .option("-q, --quiet", "suppress the progress of sending the image")
    .addOption(sigProxyOption())
    .addOption(
      new Option("--pull <policy>", "pull the image before running")
        .choices(["always", "missing", "never"])
        .default("missing"),
    )
    .option("--with-registry-auth", "store your Docker credentials for the image's registry with the stack")
    .option("--detach-keys <keys>", "key sequence for detaching from the container", DETACH_KEYS)
    .option("--timeout <duration>", "maximum time to wait for the container to start", "5m");
  addRefusedOptions(addFlagOptions(run, RUN_OPTIONS), REFUSED_RUN_OPTIONS)
    .addHelpText(
      "after",
      `
Exit status: the exit status of the container; 126 if its command cannot be invoked, 127 if it is not found, and 125 if
berth itself fails. Without a terminal, signals are sent to the container; the third Ctrl-C ends only this command.
The container is that of a job that is not restarted. Without --rm, the job stays: see berth service ls, berth logs and
berth service rm. A job publishes no ports: see berth port-forward.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/run/run.js")).runTask));
  addExamples(run, [
    "berth run --rm -it alpine sh",
    "berth run --rm --node host-2 -v data:/data alpine tar -c /data > data.tar",
    "berth run -d --name migrate --network shop_back --env-file db.env migrate:7 up",
  ]);
}

function addAttach(program: Command, cli: Cli): void {
  const attach = program
    .command("attach")
    .argument("<service|task>", "service with one running task, SERVICE.SLOT, or task ID")
    .description("Attach local standard input, output, and error streams to a running container")
    .option("--no-stdin", "do not attach STDIN")
    .addOption(sigProxyOption())
    .option(
      "--detach-keys <keys>",
      "key sequence for detaching from a container with a terminal",
      DETACH_KEYS,
    )
    .addHelpText(
      "after",
      `
Exit status: the exit status of the container, and 125 if berth fails. The container continues when you detach, and when
the connection is lost.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/attach/attach.js")).attachToTask));
  addExamples(attach, ["berth attach shop_console", "berth attach --no-stdin --sig-proxy=false shop_web.1"]);
}

function sigProxyOption(): Option {
  const description = "proxy all received signals to the process, unless it has a terminal";
  return new Option("--sig-proxy <boolean>", description).choices(["true", "false"]).default("true");
}

function addCopy(program: Command, cli: Cli): void {
  const copy = program
    .command("cp")
    .argument("<source>", "SERVICE:PATH, SERVICE.SLOT:PATH, TASK:PATH, a local path, or - for a tar archive")
    .argument("<destination>", "as for the source; exactly one of the two is in a container")
    .description("Copy files or directories between a container and the local file system")
    .option("-a, --archive", "archive mode: keep the numeric user and group of each file")
    .option("-L, --follow-link", "follow symbolic links in the source path")
    .option("-q, --quiet", "suppress progress output")
    .addHelpText(
      "after",
      `
A directory is copied into an existing destination directory, and otherwise becomes the destination. A trailing "/." copies
the contents of a directory. Relative paths in a container start at its root. Devices, and entries that would be written
outside of a local destination, are refused.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cp/cp.js")).copyFiles));
  addExamples(copy, [
    "berth cp shop_web.1:/etc/nginx/nginx.conf .",
    "berth cp ./site/. shop_web.2:/usr/share/nginx/html",
    "berth cp shop_db:/var/lib/backup - | tar -tv",
  ]);
}

function addPortForward(program: Command, cli: Cli): void {
  const forward = program
    .command("port-forward")
    .argument("<service|task>", "service, SERVICE.SLOT, or task ID")
    .argument(
      "<port...>",
      "[LOCAL:]REMOTE; LOCAL defaults to REMOTE, and an empty LOCAL stands for any free port",
    )
    .description("Forward local ports to a container")
    .option("--address <address>", "local address to listen on", "127.0.0.1")
    .addHelpText(
      "after",
      `
Connections go to a running task, through a server and the agent of the task's node, to the address of its container. A
container with the network of its host, or without a network, cannot be reached. Ctrl-C ends the command.`,
    )
    .action(
      lazyAction(cli, async () => (await import("../commands/port-forward/port-forward.js")).forwardPorts),
    );
  addExamples(forward, ["berth port-forward shop_db 5432", "berth port-forward shop_web.2 8080:80 :9090"]);
}
