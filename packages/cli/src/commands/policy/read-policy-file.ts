import { BerthError, type Policy } from "@berth/proto";
import { pluralize } from "../../output/human.js";
import { readPolicy } from "../../policy/read-policy.js";
import type { Cli } from "../../process/cli.js";
import { printDiagnostics, readInput } from "../shared/input-files.js";
import { diagnosticDetails } from "../stack/read-specs.js";

/**
 * Reads a policy file of the command line, and prints all errors in it.
 *
 * @throws BerthError BERTH_INPUT_INVALID if there are errors
 */
export async function readPolicyFile(cli: Cli, file: string): Promise<Policy> {
  const { name, bytes } = await readInput(cli, file);
  const { policy, diagnostics } = readPolicy(name, bytes);
  if (diagnostics.length === 0) return policy;
  printDiagnostics(cli, diagnostics);
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `${pluralize(diagnostics.length, "error")} in ${name}`,
    details: diagnosticDetails(diagnostics),
  });
}
