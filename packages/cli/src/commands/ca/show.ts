import { Authority_State as AuthorityState, BerthError, findByPrefix } from "@berth/proto";
import { withClient } from "../../client/client.js";
import { type AuthorityRow, authorityJson, authorityRows } from "../../output/authorities.js";
import { printJson } from "../../output/print.js";
import type { Cli, GlobalOptions } from "../../process/cli.js";

/** `berth ca show [CA]` */
export async function showAuthority(
  cli: Cli,
  options: GlobalOptions,
  reference: string | undefined,
): Promise<void> {
  const response = await withClient(cli, options, (client) =>
    client.listAuthorities({}, { signal: cli.signal }),
  );
  const authority = selectAuthority(authorityRows(response), reference);
  if (options.output === "json") {
    printJson(cli, authorityJson(authority));
  } else {
    cli.stdout.write(`${authority.certificate.trim()}\n`);
  }
}

/**
 * Returns the given CA, or by default the CA that issues the certificates of the cluster.
 *
 * @throws BerthError BERTH_NOT_FOUND, BERTH_AMBIGUOUS
 */
function selectAuthority(authorities: readonly AuthorityRow[], reference: string | undefined): AuthorityRow {
  if (reference !== undefined) {
    const idOf = ({ fingerprint }: AuthorityRow): string => fingerprint;
    return findByPrefix(authorities, { noun: "CA", reference, idOf, listCommand: "berth ca ls" });
  }
  const issuing = authorities.find(({ state, use }) => state === AuthorityState.ISSUING && use === "cluster");
  if (issuing !== undefined) return issuing;
  const message = 'no CA issues certificates; see "berth ca ls"';
  throw new BerthError({ code: "BERTH_NOT_FOUND", message });
}
