import type { NetworkSource } from "../sent-networks.js";

/** Of a cluster without networks. */
export const NO_NETWORKS: NetworkSource = {
  networkIdOf: () => undefined,
  network: () => undefined,
  nameKeys: () => [],
  dnsEntry: () => undefined,
};
