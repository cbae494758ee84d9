import type { NetworkSource } from "../assignments/network-feed.js";

/** Of a cluster without networks. */
export const NO_NETWORKS: NetworkSource = {
  networkIdOf: () => undefined,
  network: () => undefined,
  dnsKeys: () => [],
  dnsEntry: () => undefined,
};
