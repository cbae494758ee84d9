import { type Command, Option } from "commander";
import type { Cli } from "../process/cli.js";
import {
  addExamples,
  addServiceListOptions,
  addTaskListOptions,
  addWaitOptions,
  lazyAction,
  repeatableOption,
  resolveImageOption,
} from "./command-options.js";

/** Adds `berth stack …`. */
export function addStackCommands(program: Command, cli: Cli): void {
  const stack = program.command("stack").description("Manage stacks");
  addDeploy(stack, cli);
  addConfig(stack, cli);
  addExamples(
    stack
      .command("schema")
      .description("Print the JSON Schema of Compose files with berth's keys, for editors")
      .action(lazyAction(cli, async () => (await import("../commands/stack/schema.js")).printSchema)),
    ["berth stack schema > compose.schema.json"],
  );
  addExamples(
    stack
      .command("ls")
      .alias("list")
      .description("List stacks")
      .option("-q, --quiet", "only display stack names")
      .action(lazyAction(cli, async () => (await import("../commands/stack/ls.js")).listStacks)),
    ["berth stack ls", "berth stack ls -o json"],
  );
  addExamples(
    addTaskListOptions(
      stack.command("ps").argument("<stack>").description("List the tasks in the stack"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/ps.js")).listStackTasks)),
    ["berth stack ps shop", "berth stack ps shop --filter desired-state=running --no-trunc"],
  );
  addExamples(
    addServiceListOptions(
      stack.command("services").argument("<stack>").description("List the services in the stack"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/services.js")).listStackServices)),
    ["berth stack services shop", "berth stack services shop -o json"],
  );
  addExamples(
    addWaitOptions(
      stack
        .command("rm")
        .aliases(["remove", "down"])
        .argument("<stack...>")
        .description("Remove one or more stacks and wait until their tasks are gone"),
    ).action(lazyAction(cli, async () => (await import("../commands/stack/rm.js")).removeStacks)),
    ["berth stack rm shop", "berth stack rm shop blog --detach"],
  );
}

const ENV_FILE_HELP = "env file with variables for the Compose files (default: .env)";
const PROFILE_HELP = 'profile to enable ("*": all profiles)';

function addConfig(stack: Command, cli: Cli): void {
  const config = stack
    .command("config")
    .argument("[name]", "stack name (default: the name in the files, or the name of their directory)")
    .description("Resolve Compose files and print the result, or check whether they can be deployed")
    .addOption(
      repeatableOption(
        "-c, --compose-file <file>",
        'path to a Compose file, or "-" to read from stdin; later files override earlier ones (default: compose.yaml)',
      ),
    )
    .addOption(repeatableOption("--env-file <file>", ENV_FILE_HELP))
    .addOption(repeatableOption("--profile <name>", PROFILE_HELP))
    .addOption(new Option("--format <format>", "format of the result").choices(["yaml", "json"]))
    .option("--services", "only print the service names")
    .option("--images", "only print the images")
    .option("--volumes", "only print the volume names")
    .option("--networks", "only print the network names")
    .option("--profiles", "only print the profile names")
    .option(
      "--environment",
      "only print the variables that the files use and that are set, with their values",
    )
    .option("--variables", "only print the variables that the files use, with their defaults")
    .option(
      "--hash [services]",
      'only print a hash of each service, or of some ("web,db"), which changes with its settings',
    )
    .option("--no-interpolate", "keep the variables in the values, and print the services of all profiles")
    .option("--output-file <file>", "write the result to a file")
    .option("--check", "only check whether the files can be deployed")
    .option("-q, --quiet", "suppress warnings");
  addExamples(
    config.action(lazyAction(cli, async () => (await import("../commands/stack/config.js")).showConfig)),
    [
      "berth stack config",
      "berth stack config -c compose.yaml -c production.yaml --format json",
      "berth stack config --check",
      "berth stack config --images --profile '*'",
      "berth stack config --variables",
      "berth stack config --no-interpolate",
      "berth stack config --output-file resolved.yaml",
    ],
  );
}

function addDeploy(stack: Command, cli: Cli): void {
  const deploy = stack
    .command("deploy")
    .alias("up")
    .argument("<stack>")
    .description("Deploy a new stack or update an existing stack, and wait for it to converge")
    .addOption(
      repeatableOption(
        "-c, --compose-file <file>",
        'path to a Compose file, or "-" to read from stdin; later files override earlier ones',
      ).makeOptionMandatory(),
    )
    .addOption(repeatableOption("--env-file <file>", ENV_FILE_HELP))
    .addOption(repeatableOption("--profile <name>", PROFILE_HELP))
    .addOption(resolveImageOption("always"))
    .option(
      "--build",
      "build the images of all services with a build key, including those with pull_policy: always",
    )
    .option("--no-build", "build no images; use existing ones")
    .option(
      "--push",
      "push built images to their registries with your Docker logins, instead of sending them to nodes",
    )
    .option("--prune", "remove services that are no longer in the Compose files")
    .option("--dry-run", "only show the planned changes, task by task, with reasons")
    .option("--with-registry-auth", "store your Docker credentials for the images' registries with the stack")
    .option("--plan-rev <rev>", "apply only if the plan still has this revision")
    .option("-q, --quiet", "suppress warnings and progress output");
  addExamples(
    addWaitOptions(deploy).action(
      lazyAction(cli, async () => (await import("../commands/stack/deploy.js")).deployStack),
    ),
    [
      "berth stack deploy -c compose.yaml shop",
      "berth stack deploy -c compose.yaml -c production.yaml --prune shop",
      "berth stack deploy -c compose.yaml --with-registry-auth shop",
      "berth stack deploy -c compose.yaml --dry-run shop",
      "berth stack deploy -c compose.yaml --push --with-registry-auth shop",
      "berth stack deploy -c compose.yaml --resolve-image changed shop",
      "berth stack deploy -c compose.yaml --plan-rev 3f9d0c2b7a41-9c1e shop",
      "berth stack deploy -c - --detach shop < compose.yaml",
    ],
  );
}
