import type { Server } from "@berth/proto";
import type { EtcdMember } from "./etcd-membership.js";
import { hostOfAddress } from "./server-records.js";

/**
 * Returns the etcd member at the address of a server. A removed server has no member if another server has its address,
 * because the member then belongs to the other server.
 */
export function memberOf<Member extends EtcdMember>(
  { id, address }: Pick<Server, "id" | "address">,
  members: readonly Member[],
  currentServers: readonly Server[],
): Member | undefined {
  if (address === "") return undefined;
  const host = hostOfAddress(address);
  const isReplaced =
    !currentServers.some((server) => server.id === id) &&
    currentServers.some((server) => hostOfAddress(server.address) === host);
  return isReplaced
    ? undefined
    : members.find(({ peerUrls }) => peerUrls.some((url) => hostOfUrl(url) === host));
}

function hostOfUrl(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}
