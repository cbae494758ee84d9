import type { NetworkBody } from "./network-body.js";
import type { RemoteContainer } from "./remote-containers.js";
import type { WireguardPeer } from "./wireguard.js";

/** One step towards the desired state of a network. The host is observed again after each step. */
export type NetworkStep = DockerNetworkStep | LinkStep;

export type DockerNetworkStep =
  | { readonly kind: "create-network"; readonly body: NetworkBody }
  /** Docker refuses while containers are connected; the network is kept then. */
  | { readonly kind: "remove-network"; readonly dockerId: string };

export type LinkStep =
  | {
      readonly kind: "add-tunnel";
      readonly device: string;
      readonly bridge: string;
      readonly vni: number;
      readonly local: string;
      /** The underlay device that the tunnel is bound to; "" for any. */
      readonly boundDevice: string;
      readonly mtu: number;
    }
  /** Attaches the device to the bridge, sets its MTU and brings it up. */
  | { readonly kind: "set-tunnel"; readonly device: string; readonly bridge: string; readonly mtu: number }
  /** Creates the WireGuard device that encrypted networks use. */
  | { readonly kind: "add-wireguard" }
  /** Sets the WireGuard device's address and MTU and brings it up. */
  | { readonly kind: "raise-wireguard"; readonly inner: string; readonly mtu: number }
  /** Replaces the WireGuard peers. */
  | { readonly kind: "set-wireguard"; readonly peers: readonly WireguardPeer[] }
  /** Passes bridged packets to nftables, which balances virtual IPs. */
  | { readonly kind: "filter-bridge"; readonly bridge: string }
  /** Lets a container receive its own packets: it may be picked for its own connection. */
  | { readonly kind: "set-hairpin"; readonly device: string }
  | { readonly kind: "delete-link"; readonly device: string }
  /** Switches between static entries with neighbour suppression, and learning from packets. */
  | { readonly kind: "set-static-fdb"; readonly device: string; readonly isStatic: boolean }
  | {
      readonly kind: "list-containers";
      readonly vni: number;
      readonly put: readonly RemoteContainer[];
      /** Entries to delete: MAC addresses in the two forwarding databases, and IP addresses of neighbours. */
      readonly gone: Readonly<Record<"vxlanFdb" | "bridgeFdb" | "neighbours", readonly string[]>>;
    }
  | { readonly kind: "add-peer"; readonly device: string; readonly peer: string }
  | { readonly kind: "remove-peer"; readonly device: string; readonly peer: string };
