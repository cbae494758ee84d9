import { DEFAULT_POLICY } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { printJson } from "../../output/print.js";
import { policyJson, policyText } from "../../policy/policy-text.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth policy show`: prints the policy as YAML, or as JSON. */
export async function showPolicy(cli: Cli, options: GlobalOptions): Promise<void> {
  const { policy = DEFAULT_POLICY } = await withClient(cli, options, (client) =>
    client.getPolicy({}, { signal: cli.signal }),
  );
  if (options.output === "json") {
    printJson(cli, policyJson(policy));
  } else {
    cli.stdout.write(policyText(policy));
  }
}
