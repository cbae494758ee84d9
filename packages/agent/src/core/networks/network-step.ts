import type { NetworkBody } from "./docker-network.js";
import type { RemoteContainer } from "./plan-tunnel.js";
import type { WireguardPeer } from "./wireguard.js";

/** One step towards the desired state of a network. The host is observed again after a plan's steps have run. */
export type NetworkStep = DockerNetworkStep | LinkStep;

/** A step that dockerd executes. */
export type DockerNetworkStep =
  | { readonly kind: "create-network"; readonly body: NetworkBody }
  /** dockerd refuses while containers are connected; the network then stays. */
  | { readonly kind: "remove-network"; readonly dockerId: string };

/** A step that changes the kernel's network devices. */
export type LinkStep =
  | {
      readonly kind: "add-tunnel";
      readonly device: string;
      readonly bridge: string;
      readonly vni: number;
      readonly local: string;
      /** The underlay device that the tunnel is bound to. Empty if it is bound to none. */
      readonly boundDevice: string;
      readonly mtu: number;
    }
  /** Attaches the device to the bridge, sets its MTU and brings it up. */
  | { readonly kind: "set-tunnel"; readonly device: string; readonly bridge: string; readonly mtu: number }
  /** Creates the WireGuard device that encrypted networks use. */
  | { readonly kind: "add-wireguard" }
  /** Sets the WireGuard device's address and MTU and brings it up. */
  | { readonly kind: "bring-up-wireguard"; readonly inner: string; readonly mtu: number }
  /** Replaces the WireGuard peers. */
  | { readonly kind: "set-wireguard-peers"; readonly peers: readonly WireguardPeer[] }
  /**
   * Replaces the nftables rules that drop VXLAN packets of senders other than peers. An empty ruleset removes the
   * rules.
   */
  | { readonly kind: "set-vxlan-filter"; readonly ruleset: string }
  /** Passes bridged packets to nftables, which balances virtual IPs. */
  | { readonly kind: "filter-bridge"; readonly bridge: string }
  | HairpinStep
  | { readonly kind: "delete-link"; readonly device: string }
  /** Switches between static entries with neighbor suppression, and learning from packets. */
  | { readonly kind: "set-static-fdb"; readonly device: string; readonly isStatic: boolean }
  /** Updates the static entries of a network with a static forwarding database. */
  | {
      readonly kind: "update-static-entries";
      readonly vni: number;
      readonly upserts: readonly RemoteContainer[];
      /** Entries to delete: MAC addresses in the two forwarding databases, and IP addresses of neighbors. */
      readonly stale: Readonly<Record<"vxlanFdb" | "bridgeFdb" | "neighbors", readonly string[]>>;
    }
  /** Floods broadcast and unknown frames to a peer. */
  | { readonly kind: "add-peer"; readonly device: string; readonly peer: string }
  | { readonly kind: "remove-peer"; readonly device: string; readonly peer: string };

/**
 * Lets the containers at these bridge ports receive their own packets: a virtual IP may route a container's connection
 * back to it. Skips containers that have ended.
 */
export interface HairpinStep {
  readonly kind: "set-hairpins";
  readonly devices: readonly string[];
}
