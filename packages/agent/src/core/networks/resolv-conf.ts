import type { AssignedSpec, ContainerSpec } from "@berth/proto";
import type { NetworksView } from "./networks-view.js";
import { attachmentsOf } from "./task-networks.js";

/** Where the C library reads whom to ask for names. */
export const RESOLV_CONF = "/etc/resolv.conf";
/** Docker's own: a name is tried as it is before search domains are added to it. */
const DEFAULT_OPTIONS = ["ndots:0"];
const NDOTS_ABOVE_0 = /^ndots:0*[1-9]\d*$/;

/**
 * The /etc/resolv.conf of a container that asks this host's name server itself; undefined: Docker's own will do.
 * - One that is in internal networks alone: Docker's resolver, from 23.0.11, 25.0.5 and 26.0 on, passes nothing on.
 * - One with an `ndots` of its own above 0: Docker's resolver passes no plain name on then, as a service's name is.
 *   Search domains are the service's own ones; the host's are not among them.
 */
export function ownResolvConf(
  spec: AssignedSpec,
  { mounts, dnsSearch, dnsOptions }: ContainerSpec,
  networks: NetworksView,
): string | undefined {
  const joined = attachmentsOf(spec, networks).map(({ network }) => networks.byName.get(network));
  const gateway = joined[0]?.gateway;
  const isEnclosed = joined.every((network) => network?.isInternal);
  const isNeeded = isEnclosed || dnsOptions.some((option) => NDOTS_ABOVE_0.test(option));
  if (gateway === undefined || !isNeeded || mounts.some(({ target }) => target === RESOLV_CONF)) {
    return undefined;
  }
  const search = dnsSearch.length === 0 ? [] : [`search ${dnsSearch.join(" ")}`];
  const options = `options ${(dnsOptions.length === 0 ? DEFAULT_OPTIONS : dnsOptions).join(" ")}`;
  return [`nameserver ${gateway}`, ...search, options, ""].join("\n");
}
