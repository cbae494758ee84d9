import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { unmount } from "./mounts.js";
import { type LabPaths, labPaths } from "./paths.js";
import { run, runOrThrow } from "./run.js";

/** Name of every machine's network interface. */
const MACHINE_INTERFACE = "eth0";
const BRIDGE = "lan";
/** Tap devices in the network namespace of a virtual machine: on the LAN, and on its management network. */
export const LAN_TAP = "tap0";
export const MANAGEMENT_TAP = "tap1";
/** Address of the namespace on the management network, which only the namespace and its virtual machine use. */
const MANAGEMENT_ADDRESS = "169.254.77.1/30";
/** Interface in the root namespace. `bl-` and a lab's name fit into the kernel's 15 characters. */
const rootInterface = (lab: string): string => `bl-${lab}`;

/**
 * The network between the machines of one lab: a bridge in its own network namespace. In the root namespace, this
 * machine's firewall (Docker's `FORWARD DROP`, `bridge-nf-call-iptables`) would drop traffic between the hosts.
 */
export class Lan {
  readonly #lab: string;
  readonly #paths: LabPaths;

  constructor(lab: string) {
    this.#lab = lab;
    this.#paths = labPaths(lab);
  }

  /** Creates the bridge and a veth pair to the root namespace. The end in the root namespace gets `rootAddress`. */
  async create(rootAddress: string, signal?: AbortSignal): Promise<void> {
    await createNetns(this.#paths.lanNetns, signal);
    const outside = rootInterface(this.#lab);
    await this.#ip([
      "link set lo up",
      `link add ${BRIDGE} type bridge`,
      `link set ${BRIDGE} up`,
      `link add root type veth peer name ${outside} netns /proc/${process.pid}/ns/net`,
      `link set root master ${BRIDGE} up`,
    ]);
    await runOrThrow(["ip", "address", "add", `${rootAddress}/24`, "dev", outside], { signal });
    await runOrThrow(["ip", "link", "set", outside, "up"], { signal });
  }

  /**
   * Creates the network namespace of a virtual machine, with two tap devices: one that is plugged in to the LAN, and one
   * for a management network between the namespace and the virtual machine. Replaces an existing namespace.
   */
  async attachVirtualMachine(machine: string, netns: string): Promise<void> {
    await this.detach(machine, netns);
    await createNetns(netns);
    await this.#ip([
      `link add ${machine} type veth peer name uplink netns ${netns}`,
      `link set ${machine} master ${BRIDGE} up`,
    ]);
    await ip(netns, [
      "link set lo up",
      `link add ${BRIDGE} type bridge`,
      `tuntap add dev ${LAN_TAP} mode tap`,
      `tuntap add dev ${MANAGEMENT_TAP} mode tap`,
      ...["uplink", LAN_TAP].map((device) => `link set ${device} master ${BRIDGE} up`),
      `link set ${BRIDGE} up`,
      `address add ${MANAGEMENT_ADDRESS} dev ${MANAGEMENT_TAP}`,
      `link set ${MANAGEMENT_TAP} up`,
    ]);
  }

  /** Creates a machine's network namespace with a plugged-in interface. Replaces an existing namespace. */
  async attach(machine: string, netns: string, address: string): Promise<void> {
    await this.detach(machine, netns);
    await createNetns(netns);
    await this.#ip([
      `link add ${machine} type veth peer name ${MACHINE_INTERFACE} address ${macAddress(address)} netns ${netns}`,
      `link set ${machine} master ${BRIDGE} up`,
    ]);
    await ip(netns, [
      "link set lo up",
      `address add ${address}/24 dev ${MACHINE_INTERFACE}`,
      `link set ${MACHINE_INTERFACE} up`,
    ]);
  }

  /** Removes the machine's network. Packets to its address are then dropped without a reset. */
  async detach(machine: string, netns: string): Promise<void> {
    await run(["nsenter", `--net=${this.#paths.lanNetns}`, "ip", "link", "delete", machine]);
    await unmount(netns);
    await rm(netns, { force: true });
  }

  async plug(machine: string): Promise<void> {
    await this.#ip([`link set ${machine} up`]);
  }

  async unplug(machine: string): Promise<void> {
    await this.#ip([`link set ${machine} down`]);
  }

  async isPlugged(machine: string): Promise<boolean> {
    const { stdout } = await run(["nsenter", `--net=${this.#paths.lanNetns}`, "ip", "link", "show", machine]);
    return /[<,]UP[,>]/.test(stdout);
  }

  /** Removes the interface in the root namespace. */
  async remove(): Promise<void> {
    await run(["ip", "link", "delete", rootInterface(this.#lab)]);
  }

  #ip(commands: readonly string[]): Promise<void> {
    return ip(this.#paths.lanNetns, commands);
  }
}

/** Derives a MAC address from an IP address, so that it stays the same across reboots, as with a real network card. */
export function macAddress(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "be", ...bytes].join(":");
}

/** Runs `ip` commands in a namespace. Does not use `ip netns exec`, which remounts /sys and so hides the cgroups. */
async function ip(netns: string, commands: readonly string[]): Promise<void> {
  const input = `${commands.join("\n")}\n`;
  await runOrThrow(["nsenter", `--net=${netns}`, "ip", "-batch", "-"], { input });
}

/** Creates a network namespace. It lives as long as its handle, the bind mount at `handle`. */
async function createNetns(handle: string, signal?: AbortSignal): Promise<void> {
  await mkdir(dirname(handle), { recursive: true });
  await writeFile(handle, "");
  await runOrThrow(["unshare", `--net=${handle}`, "true"], { signal });
}
