import { DEFAULT_POLICY, type PolicyViolation } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { EXIT_FAILED } from "../../exit.js";
import { pluralize } from "../../output/human.js";
import { printJson, printWarning } from "../../output/print.js";
import { comparePolicies, type PolicyChanges } from "../../policy/policy-text.js";
import { type Cli, ExitStatus, type GlobalOptions } from "../../process/cli.js";
import { readPolicyFile } from "./read-policy-file.js";

export interface PolicySetOptions extends GlobalOptions {
  readonly dryRun?: boolean;
}

/** `berth policy set FILE`: replaces the policy, and prints the changes and the services that violate it. */
export async function setPolicy(cli: Cli, options: PolicySetOptions, file: string): Promise<void> {
  const policy = await readPolicyFile(cli, file);
  const dryRun = options.dryRun ?? false;
  const { previous, violations } = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.setPolicy({ policy, dryRun }, { signal: cli.signal })),
  );
  const changes = comparePolicies(previous ?? DEFAULT_POLICY, policy);
  if (options.output === "json") {
    printJson(cli, { dryRun, changes, violations });
  } else {
    cli.stdout.write(
      changeLines(changes, dryRun)
        .map((line) => `${line}\n`)
        .join(""),
    );
    printViolations(cli, violations, dryRun);
  }
  if (dryRun && violations.length > 0) throw new ExitStatus(EXIT_FAILED);
}

function changeLines(
  { added, removed, changed, reordered }: PolicyChanges,
  dryRun: boolean,
): readonly string[] {
  const lines = [
    ...added.map((name) => `+ rule ${name}`),
    ...removed.map((name) => `- rule ${name}`),
    ...Object.entries(changed).map(([name, keys]) => `~ rule ${name}: ${keys.join(", ")}`),
    ...(reordered ? ["~ order of the rules"] : []),
  ];
  if (lines.length === 0) return ["Policy is unchanged"];
  return [...lines, dryRun ? "Policy was not set (dry run)" : "Policy set"];
}

function printViolations(cli: Cli, violations: readonly PolicyViolation[], dryRun: boolean): void {
  if (violations.length === 0) return;
  const services = pluralize(new Set(violations.map(({ service }) => service)).size, "service");
  const warning = dryRun
    ? `the policy would deny settings of ${services}: running tasks would continue, new ones would be rejected`
    : `the policy denies settings of ${services}: running tasks continue, new ones are rejected`;
  printWarning(cli, warning);
  for (const { service, message } of violations) printWarning(cli, `${service}: ${message}`);
}
