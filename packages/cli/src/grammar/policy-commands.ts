import type { Command } from "commander";
import type { Cli } from "../process/cli.js";
import { addExamples, lazyAction, repeatableOption } from "./command-options.js";

/** Adds `berth policy …`. */
export function addPolicyCommands(program: Command, cli: Cli): void {
  const policy = program.command("policy").description("Manage the policy for container access to hosts");
  addExamples(
    policy
      .command("set")
      .argument("<file>", 'path to a policy file, or "-" to read from stdin')
      .description("Replace the policy, and show the services that violate it")
      .option(
        "--dry-run",
        "only show the changes and violations; exit with 1 if a service violates the policy",
      )
      .action(lazyAction(cli, async () => (await import("../commands/policy/set.js")).setPolicy)),
    [
      "berth policy set policy.yaml",
      "berth policy set --dry-run policy.yaml",
      "berth policy set - < policy.yaml",
    ],
  );
  addExamples(
    policy
      .command("show")
      .description("Print the policy as YAML")
      .action(lazyAction(cli, async () => (await import("../commands/policy/show.js")).showPolicy)),
    ["berth policy show > policy.yaml", "berth policy show -o json"],
  );
  addExamples(
    policy
      .command("check")
      .argument("<stack>")
      .description("Check Compose files against a policy file, without a server")
      .requiredOption("--policy <file>", "path to a policy file")
      .addOption(
        repeatableOption("-c, --compose-file <file>", "path to a Compose file").makeOptionMandatory(),
      )
      .addOption(
        repeatableOption(
          "--env-file <file>",
          "env file with variables for the Compose files (default: .env)",
        ),
      )
      .option("-q, --quiet", "suppress warnings")
      .action(lazyAction(cli, async () => (await import("../commands/policy/check.js")).checkPolicy)),
    ["berth policy check --policy policy.yaml -c compose.yaml shop"],
  );
}
