import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addRefusedOptions,
  addWaitOptions,
  filterOption,
  lazyAction,
  repeatableOption,
} from "./command-options.js";
import { REFUSED_EXEC_OPTIONS, REFUSED_PS_OPTIONS } from "./refused-options.js";

const TIME_HELP = "a timestamp (2026-01-02T13:23:37Z) or relative (42m)";

/**
 * Adds the commands that work on running tasks and the whole cluster: `ps`, `exec`, `logs`, `events`, `audit`, `top`,
 * `rebalance`, `upgrade …`.
 */
export function addClusterCommands(program: Command, cli: Cli): void {
  addPs(program, cli);
  addExec(program, cli);
  addLogs(program, cli, "berth logs");
  addEvents(program, cli);
  addAudit(program, cli);
  addTop(program, cli);
  addRebalance(program, cli);
  addUpgrade(program, cli);
}

function addPs(program: Command, cli: Cli): void {
  const ps = program
    .command("ps")
    .description("List the tasks on all nodes")
    .option("-a, --all", "show all tasks (default shows just running)")
    .addOption(filterOption(["id", "name", "node", "service", "stack", "status"]))
    .option("-n, --last <number>", "show the n last created tasks (includes all states)")
    .option("--node <node>", "only show tasks on one node")
    .option("--no-trunc", "do not truncate output")
    .option("-q, --quiet", "only display task IDs")
    .action(lazyAction(cli, async () => (await import("../commands/cluster/ps.js")).listContainers));
  addRefusedOptions(ps, REFUSED_PS_OPTIONS);
  addExamples(ps, ["berth ps", "berth ps -a --node host-2", "berth ps -f stack=shop -f status=failed"]);
}

function addExec(program: Command, cli: Cli): void {
  const exec = program
    .command("exec")
    .argument("<service|task>", "service with one running task, SERVICE.SLOT, or task ID")
    .argument("<command...>", "command to run, with its options")
    .description("Execute a command in the container of a running task, on any node")
    .option("-i, --interactive", "keep STDIN open")
    .option("-t, --tty", "allocate a pseudo-TTY")
    .addOption(repeatableOption("-e, --env <name=value>", "set environment variables"))
    .addOption(repeatableOption("--env-file <file>", "read in a file of environment variables"))
    .option("-u, --user <user>", "username or UID (format: <name|uid>[:<group|gid>])")
    .option("-w, --workdir <path>", "working directory inside the container")
    .option("-d, --detach", "detached mode: run the command in the background")
    .addHelpText(
      "after",
      `
Exit status: the exit status of the command; 126 if the command cannot be invoked, 127 if it is not found, and 125 if
berth itself fails (no such task, or lost connection to the command).
The first Ctrl-C is sent to the command, the second one stops waiting for it. When the connection is lost, the command
receives end of input and SIGHUP, and SIGKILL 5 seconds later.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/exec/exec.js")).execInTask));
  addRefusedOptions(exec, REFUSED_EXEC_OPTIONS);
  addExamples(exec, [
    "berth exec -it shop_web.1 sh",
    "berth exec shop_web.2 ls -l /srv",
    "berth exec -i shop_db psql < dump.sql",
  ]);
}

/** Adds `logs` to `parent`. The examples start with `commandLine`. */
export function addLogs(parent: Command, cli: Cli, commandLine: string): void {
  const logs = parent
    .command("logs")
    .argument("<service|task>")
    .description("Fetch the logs of a service or task")
    .option("-f, --follow", "follow log output")
    .option("-n, --tail <lines>", "number of lines to show from the end of the logs of each task", "all")
    .option("--since <time>", `show logs since ${TIME_HELP}`)
    .option("--until <time>", `show logs before ${TIME_HELP}`)
    .option("-t, --timestamps", "show timestamps")
    .option("--raw", "do not neatly format logs")
    .option("--no-trunc", "do not truncate output")
    .option("--no-task-ids", "do not include task IDs in output")
    .action(lazyAction(cli, async () => (await import("../commands/service/logs.js")).showLogs));
  addExamples(logs, [`${commandLine} -f shop_web`, `${commandLine} --tail 100 --since 10m -t shop_web.2`]);
}

function addEvents(program: Command, cli: Cli): void {
  const events = program
    .command("events")
    .description("Show events of nodes, services and tasks")
    .option("-f, --follow", "follow event output")
    .option("--since <time>", `show events since ${TIME_HELP}`)
    .option("--service <service>", "only show events of one service and its tasks")
    .option("--stack <stack>", "only show events of one stack")
    .option("--node <node>", "only show events of one node and its tasks")
    .addHelpText(
      "after",
      `
The leader keeps the last 10,000 events since it was elected. Older events are reconstructed from the records of the
cluster: the latest event of each task and node, and the milestones of each service.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/events.js")).showEvents));
  addExamples(events, [
    "berth events -f",
    "berth events --since 10m --service shop_web",
    "berth events -f -o json",
  ]);
}

function addAudit(program: Command, cli: Cli): void {
  const audit = program
    .command("audit")
    .description("Show the audit log: who changed what, when, from where, and with what result")
    .option("-f, --follow", "follow audit output")
    .option("--since <time>", `show records since ${TIME_HELP}`)
    .option("--limit <number>", "only show this many of the newest records")
    .addHelpText(
      "after",
      `
Calls that change the cluster, streams to containers ("berth exec", "attach", "cp", "port-forward"), and refused calls
are recorded in etcd. Commands that only read, and dry runs, are not. The newest 5,000 changes, 1,000 streams and 500
records of refused calls are kept. Equal calls that are refused within 10 seconds are one record. Values of environment
variables and labels, and arguments of executed commands are never recorded.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/audit.js")).showAudit));
  addExamples(audit, ["berth audit --since 1h", "berth audit -f --limit 10", "berth audit -o json"]);
}

function addTop(program: Command, cli: Cli): void {
  const top = program
    .command("top")
    .description("Display a live stream of node and task resource usage")
    .option("--service <service>", "only show the tasks of one service")
    .option("--node <node>", "only show one node")
    .option("--once", "print the first result and exit")
    .addOption(
      new Option("--sort <column>", "column to sort tasks by, in descending order")
        .choices(["cpu", "mem", "net"])
        .default("cpu"),
    )
    .addHelpText(
      "after",
      `
Keys on a terminal: c, m and n sort by CPU, memory and network; q quits. 100 % is one CPU.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/top.js")).showTop));
  addExamples(top, ["berth top", "berth top --service shop_web --sort mem", "berth top --once -o json"]);
}

function addRebalance(program: Command, cli: Cli): void {
  const rebalance = program
    .command("rebalance")
    .description(
      "Move tasks from busy nodes to less busy ones, according to the update policy of each service",
    )
    .option("--dry-run", "only print the moves and their reasons")
    .option("--max-moves <number>", "maximum number of tasks to move")
    .addHelpText(
      "after",
      `
Only tasks of replicated services without an update in progress are moved. Tasks that a constraint, a host port or a
volume binds to their node are not moved. The moves continue in the background; "berth service ps" shows them.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/rebalance.js")).rebalance));
  addExamples(rebalance, ["berth rebalance --dry-run", "berth rebalance --max-moves 10"]);
}

function addUpgrade(program: Command, cli: Cli): void {
  const upgrade = program
    .command("upgrade")
    .description("Manage the upgrade of the cluster to a new release");
  const finalize = addWaitOptions(
    upgrade
      .command("finalize")
      .description(
        "Convert the records of the cluster to the schema of this release, once all servers run it",
      ),
  )
    .addHelpText(
      "after",
      `
Until then, servers of the previous release can run, and the servers can go back to it. Afterwards, they cannot start any
more. "berth version" shows whether there is a newer format to convert to. The servers elect a leader, as after a
failure; containers and their connections are not affected.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/upgrade/finalize.js")).finalizeUpgrade));
  addExamples(finalize, ["berth upgrade finalize"]);
}
