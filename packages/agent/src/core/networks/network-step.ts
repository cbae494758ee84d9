import type { NetworkBody } from "./network-body.js";
import type { RemoteContainer } from "./remote-containers.js";
import type { WireguardPeer } from "./wireguard.js";

/** One small thing to do for a network. After it, the host is looked at again. */
export type NetworkStep = DockerNetworkStep | LinkStep;

export type DockerNetworkStep =
  | { readonly kind: "create-network"; readonly body: NetworkBody }
  /** Docker refuses while containers are in it, and then it stays. */
  | { readonly kind: "remove-network"; readonly dockerId: string };

export type LinkStep =
  | {
      readonly kind: "add-tunnel";
      readonly device: string;
      readonly bridge: string;
      readonly vni: number;
      readonly local: string;
      /** The only device that its packets come and go through; "": any. */
      readonly through: string;
      readonly mtu: number;
    }
  /** Makes it a port of the bridge, with this MTU, and up. */
  | { readonly kind: "set-tunnel"; readonly device: string; readonly bridge: string; readonly mtu: number }
  /** Makes the device through which encrypted networks go. */
  | { readonly kind: "add-wireguard" }
  /** Gives that device this address and MTU, and puts it up. */
  | { readonly kind: "raise-wireguard"; readonly inner: string; readonly mtu: number }
  /** These hosts, and no others. */
  | { readonly kind: "set-wireguard"; readonly peers: readonly WireguardPeer[] }
  /** What a bridge carries is seen by the kernel's tables, which balance virtual IPs. */
  | { readonly kind: "filter-bridge"; readonly bridge: string }
  /** A container may be picked for its own connection: its port gives it back. */
  | { readonly kind: "set-hairpin"; readonly device: string }
  | { readonly kind: "delete-link"; readonly device: string }
  /** Whether the bridge answers for the containers that it knows, and nothing is learned from packets. */
  | { readonly kind: "set-listed"; readonly device: string; readonly isListed: boolean }
  | {
      readonly kind: "list-containers";
      readonly vni: number;
      readonly put: readonly RemoteContainer[];
      /** Hardware addresses in the tunnel's and in the bridge's table, and addresses. */
      readonly gone: Readonly<Record<"placed" | "behind" | "neighbours", readonly string[]>>;
    }
  | { readonly kind: "add-peer"; readonly device: string; readonly peer: string }
  | { readonly kind: "remove-peer"; readonly device: string; readonly peer: string };
