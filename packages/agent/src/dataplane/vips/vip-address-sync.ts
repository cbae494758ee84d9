import { networkInterfaces } from "node:os";
import { failureOf, type RunProgram } from "../../runtime/run-program.js";
import type { Vips } from "./vip.js";
import {
  formatAddressChanges,
  groupByBridge,
  parseAssignedVips,
  type VipAddresses,
  vipsFromInterfaces,
} from "./vip-addresses.js";

/** Assigns the virtual IPs to the bridges of this host, and removes virtual IPs that are no longer desired. */
export class VipAddressSync {
  readonly #run: RunProgram;
  readonly #signal: AbortSignal;
  /** The virtual IPs that the host has. Undefined if they have to be listed. */
  #assigned: VipAddresses | undefined;

  constructor(run: RunProgram, signal: AbortSignal) {
    this.#run = run;
    this.#signal = signal;
  }

  /**
   * Assigns these virtual IPs and no others. Returns those that the host has afterwards: a bridge may be missing.
   *
   * @throws Error if the addresses of the host cannot be listed
   */
  async apply(vips: Vips): Promise<VipAddresses> {
    const assigned = this.#assigned ?? (await this.#list());
    const isApplied = await this.#change(formatAddressChanges(assigned, vips));
    // `ip -force` continues after a failure: other addresses than the failed ones are assigned.
    this.#assigned = isApplied ? groupByBridge(vips) : await this.#list();
    return this.#assigned;
  }

  /** Returns whether the host has these virtual IPs and no others, and remembers the ones that it has. */
  async verify(vips: Vips): Promise<boolean> {
    const fromInterfaces = vipsFromInterfaces(networkInterfaces());
    const isListComplete = formatAddressChanges(fromInterfaces, vips).length === 0;
    this.#assigned = isListComplete ? fromInterfaces : await this.#list();
    return formatAddressChanges(this.#assigned, vips).length === 0;
  }

  /** Makes the next `apply` list the addresses of the host first. */
  reset(): void {
    this.#assigned = undefined;
  }

  async #list(): Promise<VipAddresses> {
    const result = await this.#run("ip", { args: ["-json", "-4", "address", "show"], signal: this.#signal });
    if (result.kind !== "done") throw new Error(failureOf("ip", result));
    return parseAssignedVips(JSON.parse(result.stdout || "[]"));
  }

  /** Returns whether all changes were applied. */
  async #change(lines: readonly string[]): Promise<boolean> {
    if (lines.length === 0) return true;
    const input = `${lines.join("\n")}\n`;
    const result = await this.#run("ip", { args: ["-force", "-batch", "-"], input, signal: this.#signal });
    return result.kind === "done";
  }
}
