import { DEFAULT_POLICY } from "@berth/proto";
import type { NetworkSource } from "../assignments/network-feed.js";

/** The networks of a cluster that has none. */
export const NO_NETWORKS: NetworkSource = {
  networkIdOf: () => undefined,
  network: () => undefined,
  dnsKeys: () => [],
  dnsEntry: () => undefined,
};

/** The assignments of a node without tasks. */
export const NO_ASSIGNMENTS = {
  tasks: () => [],
  task: () => undefined,
  spec: () => undefined,
  ingressEntries: () => [],
  ingressEntry: () => undefined,
  policy: () => DEFAULT_POLICY,
  keepsUnknownTasks: () => false,
  isStopHeld: () => false,
  file: () => undefined,
  registryLogin: () => undefined,
  ...NO_NETWORKS,
} as const;
