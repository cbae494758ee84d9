import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./grammar.js";

/** `berth exec`, `berth logs`, `berth events`, `berth top`, `berth rebalance`: what is done with what runs, wherever it runs. */
export function addOperateCommands(program: Command, cli: Cli): void {
  addExec(program, cli);
  addLogs(program, cli, "berth logs");
  addEvents(program, cli);
  addTop(program, cli);
  addRebalance(program, cli);
}

function addRebalance(program: Command, cli: Cli): void {
  const rebalance = program
    .command("rebalance")
    .description("Move tasks from full nodes to empty ones, each by the order and at the pace of its service")
    .option("--dry-run", "only show what would move, and why")
    .option("--max-moves <number>", "move so many tasks at most")
    .addHelpText(
      "after",
      `
Replicated services that are not just being changed take part; what is bound to its node by a constraint, a host port
or a volume stays. The moves are asked for and go on by themselves: "berth service ps" shows them.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/rebalance.js")).rebalance));
  addExamples(rebalance, ["berth rebalance --dry-run", "berth rebalance --max-moves 10"]);
}

function addExec(program: Command, cli: Cli): void {
  const exec = program
    .command("exec")
    .argument("<service|task>", "a service of which one task runs, SERVICE.SLOT, or a task's id")
    .argument("<command...>", "what to run; its own options come after it")
    .description("Run a command in the container of a running task, wherever it runs")
    .option("-i, --interactive", "pass the standard input on")
    .option("-t, --tty", "on a terminal")
    .addOption(repeatableOption("-e, --env <name=value>", "set an environment variable"))
    .option("-u, --user <user>", "as another user: NAME, UID or USER:GROUP")
    .option("-w, --workdir <folder>", "in another folder")
    .option("-d, --detach", "start it and return")
    .addHelpText(
      "after",
      `
The exit code is the command's own; 126 or 127 when the container cannot run it or does not have it, and 125 when
berth failed: there is no such task, or the command was lost. Ctrl-C goes to the command, a second one ends the wait.
A command whose caller is gone gets the end of its input and SIGHUP, and SIGKILL 5 seconds later.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/exec/exec.js")).execInTask));
  addExamples(exec, [
    "berth exec -it shop_web.1 sh",
    "berth exec shop_web.2 ls -l /srv",
    "berth exec -i shop_db psql < dump.sql",
  ]);
}

/** `logs` under `parent`; `words` are what people type to get there. */
export function addLogs(parent: Command, cli: Cli, words: string): void {
  const logs = parent
    .command("logs")
    .argument("<service|task>")
    .description("Show the output of a service's tasks, or of one task")
    .option("-f, --follow", "go on with new lines until Ctrl-C")
    .option("-n, --tail <lines>", "lines from the end of each task", "all")
    .option("--since <time>", "only lines after a time (2026-01-02T13:23:37Z) or a span ago (42m)")
    .option("--until <time>", "only lines before a time or a span ago")
    .option("-t, --timestamps", "show when each line was written")
    .option("--raw", "the lines alone")
    .option("--no-trunc", "show task ids whole")
    .option("--no-task-ids", "leave the task ids out")
    .action(lazyAction(cli, async () => (await import("../commands/service/logs.js")).showLogs));
  addExamples(logs, [`${words} -f shop_web`, `${words} --tail 100 --since 10m -t shop_web.2`]);
}

function addEvents(program: Command, cli: Cli): void {
  const events = program
    .command("events")
    .description("Show what happened to nodes, services and tasks, and why")
    .option("-f, --follow", "go on with what happens until Ctrl-C")
    .option("--since <time>", "only what happened after a time (2026-01-02T13:23:37Z) or a span ago (42m)")
    .option("--service <service>", "only of one service and its tasks")
    .option("--stack <stack>", "only of one stack")
    .option("--node <node>", "only of one node and what runs there")
    .addHelpText(
      "after",
      `
The leader remembers the last 10,000 events of its term. What came before is told from the cluster's records: the
latest of each task and node, and the milestones of each service.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/events.js")).showEvents));
  addExamples(events, [
    "berth events -f",
    "berth events --since 10m --service shop_web",
    "berth events -f -o json",
  ]);
}

function addTop(program: Command, cli: Cli): void {
  const top = program
    .command("top")
    .description("Show what nodes and tasks use: processor, memory, network")
    .option("--service <service>", "only the tasks of one service")
    .option("--node <node>", "only one node")
    .option("--once", "show it once instead of again and again")
    .addOption(
      new Option("--sort <column>", "the busiest first, by").choices(["cpu", "mem", "net"]).default("cpu"),
    )
    .addHelpText(
      "after",
      `
On a terminal: c, m and n sort by processor, memory and network, q ends. 100 % is one processor.`,
    )
    .action(lazyAction(cli, async () => (await import("../commands/cluster/top.js")).showTop));
  addExamples(top, ["berth top", "berth top --service shop_web --sort mem", "berth top --once -o json"]);
}
