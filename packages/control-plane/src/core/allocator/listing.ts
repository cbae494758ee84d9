import type { Network } from "@berth/proto";

/**
 * Hosts among which packets for everybody (ARP above all) are copied to each. The cost of one is a copy per host;
 * beyond a few dozen (flannel, Calico and the kernel's own documentation agree) hosts are told where containers are.
 */
export const DEFAULT_FLOOD_LIMIT = 32;

/**
 * Whether hosts send nothing to all others of a network, since names say where every container is. Nobody can say so
 * of containers that berth did not make, so networks that such may join stay as they are.
 */
export function hasStaticFdb(network: Network, hosts: number, floodHosts: number): boolean {
  return hosts > floodHosts && !(network.spec?.attachable ?? false);
}
