import type { AssignedSpec, ContainerSpec } from "@berth/proto";
import type { NetworksView } from "./networks-view.js";
import { attachmentsOf } from "./task-networks.js";

/** Where the C library reads whom to ask for names. */
export const RESOLV_CONF = "/etc/resolv.conf";
/** Docker's own: a name is tried as it is before search domains are added to it. */
const DEFAULT_OPTIONS = ["ndots:0"];

/**
 * The /etc/resolv.conf of a container that is in internal networks alone: it asks this host's name server itself,
 * since Docker's resolver, from 23.0.11, 25.0.5 and 26.0 on, passes nothing on for it. Undefined: Docker's own will do.
 */
export function ownResolvConf(
  spec: AssignedSpec,
  { mounts, dnsSearch, dnsOptions }: ContainerSpec,
  networks: NetworksView,
): string | undefined {
  const joined = attachmentsOf(spec, networks).map(({ network }) => networks.byName.get(network));
  const gateway = joined[0]?.gateway;
  const isEnclosed = joined.every((network) => network?.isInternal);
  if (gateway === undefined || !isEnclosed || mounts.some(({ target }) => target === RESOLV_CONF)) {
    return undefined;
  }
  const search = dnsSearch.length === 0 ? [] : [`search ${dnsSearch.join(" ")}`];
  const options = `options ${(dnsOptions.length === 0 ? DEFAULT_OPTIONS : dnsOptions).join(" ")}`;
  return [`nameserver ${gateway}`, ...search, options, ""].join("\n");
}
