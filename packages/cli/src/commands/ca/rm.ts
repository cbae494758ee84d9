import { withClient } from "../../client/client.js";
import { retryDuringElection } from "../../client/leader-change.js";
import { authorityId } from "../../output/authorities.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

export interface RemoveAuthorityOptions extends GlobalOptions {
  readonly force?: boolean;
}

/** `berth ca rm CA` */
export async function removeAuthority(
  cli: Cli,
  options: RemoveAuthorityOptions,
  authority: string,
): Promise<void> {
  const { force = false } = options;
  const removed = await withClient(cli, options, (client) =>
    retryDuringElection(cli, () => client.removeAuthority({ authority, force }, { signal: cli.signal })),
  );
  if (options.output === "json") {
    printJson(cli, { removed: removed.fingerprint });
  } else {
    cli.stdout.write(`${authorityId(removed)}\n`);
  }
}
