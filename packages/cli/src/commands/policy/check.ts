import type { Cli, GlobalOptions } from "../../process/cli.js";
import { printDenials } from "../stack/policy-denial.js";
import { readSpecs, type StackFiles } from "../stack/read-specs.js";
import { readPolicyFile } from "./read-policy-file.js";

export interface PolicyCheckOptions extends GlobalOptions, StackFiles {
  readonly policy: string;
}

/** `berth policy check --policy FILE -c FILE STACK`: checks Compose files against a policy file, without a server. */
export async function checkPolicy(cli: Cli, options: PolicyCheckOptions, stack: string): Promise<void> {
  const policy = await readPolicyFile(cli, options.policy);
  const specs = await readSpecs(cli, { ...options, skipContents: true }, stack);
  const denied = printDenials(cli, specs, { policy });
  if (denied !== undefined) throw denied;
  cli.stdout.write(`The policy permits stack ${stack}\n`);
}
