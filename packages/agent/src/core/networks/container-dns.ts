import type { AssignedSpec, ContainerSpec } from "@berth/proto";
import { attachmentsOf, type NetworksView } from "./task-networks.js";

// Decides how a task's container resolves names: through this host's DNS server, or through its service's DNS servers.

export const RESOLV_CONF = "/etc/resolv.conf";
/** Docker's default: tries a name as given before it tries the search domains. */
const DEFAULT_OPTIONS = ["ndots:0"];
const NDOTS_ABOVE_0 = /^ndots:0*[1-9]\d*$/;

/**
 * Returns the DNS servers of a container: this host's DNS server when the container joins an overlay network, else those
 * of the service. No other server follows as a fallback: when the first one refuses a query, as it may during a handover,
 * Docker asks the next one, which would answer that the names of services do not exist.
 */
export function dnsServers(
  spec: AssignedSpec,
  serviceServers: readonly string[],
  networks: NetworksView,
): readonly string[] {
  const [first] = attachmentsOf(spec, networks);
  const gateway = first && networks.byName.get(first.network)?.gateway;
  return gateway === undefined ? serviceServers : [gateway];
}

/**
 * Returns the /etc/resolv.conf of a container that must query this host's DNS server directly. Returns undefined if
 * Docker's resolver forwards the queries, which it does not do in two cases:
 * - in containers that join internal networks only, since Docker 23.0.11, 25.0.5 and 26.0;
 * - for names without a dot, such as those of services, when the service sets `ndots` above 0.
 *
 * The search domains are those of the service. Those of the host are not included.
 */
export function directResolvConf(
  spec: AssignedSpec,
  { mounts, dnsSearch, dnsOptions }: ContainerSpec,
  networks: NetworksView,
): string | undefined {
  const joined = attachmentsOf(spec, networks).map(({ network }) => networks.byName.get(network));
  const gateway = joined[0]?.gateway;
  const isInternal = joined.every((network) => network?.isInternal);
  const isNeeded = isInternal || dnsOptions.some((option) => NDOTS_ABOVE_0.test(option));
  const isMounted = mounts.some(({ target }) => target === RESOLV_CONF);
  if (gateway === undefined || !isNeeded || isMounted) return undefined;
  const search = dnsSearch.length === 0 ? [] : [`search ${dnsSearch.join(" ")}`];
  const options = `options ${(dnsOptions.length === 0 ? DEFAULT_OPTIONS : dnsOptions).join(" ")}`;
  return [`nameserver ${gateway}`, ...search, options, ""].join("\n");
}
