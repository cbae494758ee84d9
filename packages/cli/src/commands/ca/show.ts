import { Authority_State as AuthorityState, type AuthorityStatus, BerthError } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { authorityJson } from "../../output/authorities.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth ca show [CA]` */
export async function showAuthority(
  cli: Cli,
  options: GlobalOptions,
  reference: string | undefined,
): Promise<void> {
  const { authorities } = await withClient(cli, options, (client) =>
    client.listAuthorities({}, { signal: cli.signal }),
  );
  const authority = select(authorities, reference);
  if (options.output === "json") printJson(cli, authorityJson(authority));
  else cli.stdout.write(`${authority.certificate.trim()}\n`);
}

/** @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS */
function select(authorities: readonly AuthorityStatus[], reference: string | undefined): AuthorityStatus {
  const found = authorities.filter(({ fingerprint, state }) =>
    reference === undefined ? state === AuthorityState.ISSUING : fingerprint.startsWith(reference),
  );
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const name = reference === undefined ? "no CA issues certificates" : `no CA ${JSON.stringify(reference)}`;
  const why = first === undefined ? "there is none" : `${found.length} fingerprints start with it`;
  throw new BerthError({
    code: first === undefined ? "BERTH_NOT_FOUND" : "BERTH_AMBIGUOUS",
    message: `${name}: ${why}: see "berth ca ls"`,
  });
}
