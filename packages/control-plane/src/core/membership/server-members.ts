import type { Server } from "@berth/proto";
import type { EtcdMember } from "./etcd-membership.js";
import { hostOfAddress } from "./server-records.js";

/**
 * Returns the etcd member of a server: the one at the server's address. A removed server has none when another server has
 * its address, since the member is the other server's then.
 */
export function memberOf<Member extends EtcdMember>(
  { id, address }: Pick<Server, "id" | "address">,
  members: readonly Member[],
  current: readonly Server[],
): Member | undefined {
  if (address === "") return undefined;
  const host = hostOfAddress(address);
  const isReplaced =
    !current.some((server) => server.id === id) &&
    current.some((server) => hostOfAddress(server.address) === host);
  return isReplaced
    ? undefined
    : members.find(({ peerUrls }) => peerUrls.some((url) => hostOfUrl(url) === host));
}

function hostOfUrl(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}
