import { BerthError, checkSpec, DEFAULT_POLICY, isBerthError, type Policy } from "@berth/proto";
import type { ControlClient } from "../../client/client.js";
import { Diagnostics } from "../../compose/text/diagnostics.js";
import { pluralize } from "../../output/human.js";
import type { Cli } from "../../process/cli.js";
import { printDiagnostics } from "../shared/input-files.js";
import { diagnosticDetails, type StackSpecs } from "./read-specs.js";

/**
 * Returns the error of a deployment. If the policy denies it, prints the denied settings with their places in the
 * Compose files. The server's error has no places and is shortened.
 */
export async function explainDenial(
  cli: Cli,
  client: ControlClient,
  { error, stack }: { readonly error: unknown; readonly stack: StackSpecs },
): Promise<unknown> {
  if (!isBerthError(error, "BERTH_POLICY_DENIED")) return error;
  // Without the policy, the server's error is all there is to print.
  const response = await client.getPolicy({}, { signal: cli.signal }).catch(() => undefined);
  if (response === undefined) return error;
  return (
    printDenials(cli, stack, { policy: response.policy, consequence: "; nothing was deployed" }) ?? error
  );
}

export interface DenialOptions {
  readonly policy?: Policy | undefined;
  /** The consequence of the denial, appended to the error. */
  readonly consequence?: string;
}

/** Prints all settings in the Compose files that the policy denies. Returns the error; undefined if there are none. */
export function printDenials(
  cli: Cli,
  stack: StackSpecs,
  { policy = DEFAULT_POLICY, consequence = "" }: DenialOptions,
): BerthError | undefined {
  const diagnostics = new Diagnostics();
  for (const spec of stack.specs) {
    for (const { path, message } of checkSpec(spec, policy)) {
      const place = stack.placeOf(spec.name, path);
      if (place !== undefined) diagnostics.error(place, message);
    }
  }
  if (!diagnostics.hasErrors) return undefined;
  const denials = diagnostics.sorted();
  printDiagnostics(cli, denials);
  return new BerthError({
    code: "BERTH_POLICY_DENIED",
    message: `the policy denies ${pluralize(denials.length, "setting")} in ${stack.fileNames}${consequence}`,
    details: diagnosticDetails(denials),
  });
}
