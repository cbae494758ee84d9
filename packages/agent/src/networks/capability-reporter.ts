import { setTimeout as sleep } from "node:timers/promises";
import type { DataPlane } from "@berth/proto";
import { overlayMtu } from "../core/networks/devices.js";
import { hostAddresses } from "../core/networks/host-addresses.js";
import { directSubnets } from "../core/networks/host-routes.js";
import type { ObservedLinks } from "../core/networks/observed-state.js";
import type { NetworkHost } from "../core/networks/plan-network.js";
import type { HostNetworking, KernelSupport } from "./host-networking.js";

/**
 * Interval between two reports. Interfaces and local Docker networks come and go: the leader must not allocate a subnet
 * that a new one uses, and may reuse the subnet of one that is gone.
 */
const REPORT_INTERVAL_MS = 60_000;

export interface CapabilityReporterOptions {
  readonly networking: HostNetworking;
  /** The address at which the other hosts reach this host. */
  readonly address: string;
  /** Called with each report, whether or not it differs from the previous one. */
  readonly onReport: (capabilities: Partial<DataPlane>) => void;
}

/** Determines which overlay networks this host supports, and reports it for the node description. */
export class CapabilityReporter {
  readonly #options: CapabilityReporterOptions;
  /** Undefined until it has been detected. */
  #kernel: KernelSupport | undefined;
  #isolation = "";
  /** The last successful observation. */
  #links: ObservedLinks | undefined;
  #observedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: CapabilityReporterOptions) {
    this.#options = options;
  }

  /** The properties that planning depends on. Until the kernel has been examined, they claim full support. */
  get host(): NetworkHost {
    const { address, networking } = this.#options;
    const { overlayProblem = "", encryptionProblem = "" } = this.#kernel ?? {};
    const isolationProblem =
      this.#isolation && `${this.#isolation} isolates containers from the host's network devices`;
    return {
      address,
      overlayProblem: isolationProblem || overlayProblem,
      encryptionProblem,
      wireguardPublicKey: networking.wireguardPublicKey,
    };
  }

  /** The host's devices. Each observation through them is also reported, so that the host is not observed twice. */
  get devices(): HostNetworking["devices"] {
    const { devices } = this.#options.networking;
    return {
      execute: (steps, signal) => devices.execute(steps, signal),
      observePorts: (signal) => devices.observePorts(signal),
      observe: async (address, signal) => {
        const links = await devices.observe(address, signal);
        this.#links = links;
        this.#observedAtMs = performance.now();
        this.#reportLinks();
        return links;
      },
    };
  }

  /** The MTU of the device with this host's address. 0 if it is not known. */
  get uplinkMtu(): number {
    return this.#links?.uplinkMtu ?? 0;
  }

  /** Examines the kernel. Does nothing when the signal is aborted. */
  async detectKernelSupport(signal: AbortSignal): Promise<void> {
    try {
      const kernel = await this.#options.networking.detectKernelSupport(signal);
      if (!signal.aborted) this.#kernel = kernel;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Sets the environment that isolates containers from the host's network, such as "rootless Docker". Empty for none. */
  setIsolation(isolation: string): void {
    this.#isolation = isolation;
  }

  /** Observes the host and reports its capabilities. An observation that fails leaves the previous one in place. */
  async report(signal: AbortSignal): Promise<void> {
    // The node description of the agent's previous run stays valid until the kernel has been examined.
    if (this.#kernel === undefined) return;
    const { networking, address } = this.#options;
    this.#links = await networking.devices.observe(address, signal).catch(() => this.#links);
    this.#reportLinks();
  }

  #reportLinks(): void {
    if (this.#kernel === undefined) return;
    const { address, onReport } = this.#options;
    const { uplinkMtu, host } = this;
    const addressProblem = uplinkMtu === 0 ? `no network device of this host has the address ${address}` : "";
    const overlayReason = host.overlayProblem || addressProblem;
    const isIpv6 = address.includes(":");
    onReport({
      overlay: overlayReason === "",
      overlayReason,
      overlayMtu: uplinkMtu === 0 ? 0 : overlayMtu(uplinkMtu, { isIpv6, isEncrypted: false }),
      wireguardPublicKey: host.encryptionProblem === "" ? host.wireguardPublicKey : "",
      wireguardReason: host.encryptionProblem,
      subnets: directSubnets(this.#links?.routes ?? []),
      addresses: hostAddresses(this.#links?.links.values() ?? []),
    });
  }

  /** Observes and reports every minute until the signal is aborted, unless the host is observed anyway. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(REPORT_INTERVAL_MS, undefined, { signal }).catch(() => {});
      const isObserved = performance.now() - this.#observedAtMs < REPORT_INTERVAL_MS;
      if (!signal.aborted && !isObserved) await this.report(signal);
    }
  }
}
