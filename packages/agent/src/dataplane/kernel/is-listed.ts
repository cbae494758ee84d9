/**
 * Whether a chain is among those that `nft list chains ip` tells of. Not by listing the one chain: for that nft reads
 * the members of all maps, too.
 */
export function hasChain(chains: string, table: string, chain: string): boolean {
  const [, ours = ""] = chains.split(`table ip ${table} {`);
  return ours.split("\n}")[0]?.includes(`chain ${chain} {`) === true;
}
