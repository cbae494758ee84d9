import { VXLAN_PORT } from "../../../packages/agent/src/core/networks/devices.js";
import type { LinkStep } from "../../../packages/agent/src/core/networks/network-step.js";
import type {
  ObservedLink,
  ObservedLinks,
} from "../../../packages/agent/src/core/networks/observed-state.js";
import { linkWith } from "../../../packages/agent/src/core/networks/testing.js";

const UPLINK_MTU = 1_500;

/** The network devices in the kernel of one host. */
export class SimDevices {
  readonly links = new Map<string, ObservedLink>();
  #vxlanFilter = "";
  readonly #floodPeers = new Map<string, readonly string[]>();

  add(link: ObservedLink): void {
    this.links.set(link.name, link);
  }

  /** Removes a device. The ports of a removed bridge have no master any more. */
  remove(name: string): void {
    this.links.delete(name);
    this.#floodPeers.delete(name);
    for (const link of this.links.values()) if (link.master === name) this.add({ ...link, master: "" });
  }

  /** Removes all devices, as a loss of power does. */
  clear(): void {
    this.links.clear();
    this.#floodPeers.clear();
    this.#vxlanFilter = "";
  }

  /** Returns the peers to which a tunnel floods. */
  peersOf(tunnel: string): readonly string[] {
    return this.#floodPeers.get(tunnel) ?? [];
  }

  observe(): ObservedLinks {
    return {
      links: new Map(this.links),
      uplinkMtu: UPLINK_MTU,
      floodPeers: new Map(this.#floodPeers),
      vxlanFdb: new Map(),
      bridgeFdb: new Map(),
      neighbors: new Map(),
      vxlanFilter: this.#vxlanFilter,
      routes: [],
      wireguard: undefined,
    };
  }

  /**
   * Applies one step.
   *
   * @throws Error with the text of iproute2
   */
  run(step: LinkStep): void {
    switch (step.kind) {
      case "add-tunnel": {
        const { device, vni, local, boundDevice, mtu, bridge } = step;
        if (this.links.has(device)) throw new Error("RTNETLINK answers: File exists");
        for (const { kind, vni: other } of this.links.values()) {
          if (kind === "vxlan" && other === vni) throw new Error("RTNETLINK answers: File exists");
        }
        const tunnel = {
          kind: "vxlan",
          vni,
          local,
          boundDevice,
          mtu,
          port: VXLAN_PORT,
          isUp: false,
          isLearning: true,
        };
        this.add(linkWith({ name: device, ...tunnel }));
        this.#join(device, bridge, mtu);
        return;
      }
      case "set-tunnel":
        this.#join(step.device, step.bridge, step.mtu);
        return;
      case "set-vxlan-filter":
        this.#vxlanFilter = step.ruleset;
        return;
      case "filter-bridge":
        this.add({ ...this.#get(step.bridge), callsIptables: true });
        return;
      case "set-hairpins":
        for (const device of step.devices) {
          const link = this.links.get(device);
          if (link !== undefined) this.add({ ...link, isHairpin: true });
        }
        return;
      case "delete-link":
        this.#get(step.device);
        this.remove(step.device);
        return;
      case "add-peer": {
        const peers = this.peersOf(this.#get(step.device).name);
        if (peers.includes(step.peer)) throw new Error("RTNETLINK answers: File exists");
        this.#floodPeers.set(step.device, [...peers, step.peer]);
        return;
      }
      case "remove-peer": {
        const peers = this.peersOf(this.#get(step.device).name);
        if (!peers.includes(step.peer)) throw new Error("RTNETLINK answers: No such file or directory");
        this.#floodPeers.set(
          step.device,
          peers.filter((peer) => peer !== step.peer),
        );
        return;
      }
      case "add-wireguard":
      case "set-wireguard-peers":
      case "set-static-fdb":
      case "update-static-entries":
        throw new Error(`${step.kind} is not simulated`);
    }
  }

  #join(device: string, bridge: string, mtu: number): void {
    const link = this.#get(device);
    this.#get(bridge);
    this.add({ ...link, master: bridge, mtu, isUp: true });
  }

  #get(name: string): ObservedLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`Cannot find device "${name}"`);
    return link;
  }
}
