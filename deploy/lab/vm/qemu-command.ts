import { LAN_TAP, MANAGEMENT_TAP } from "../lan.js";

/** How the processor of a virtual machine is provided: by hardware, or by emulation, which is many times slower. */
export type Acceleration = "kvm" | "tcg";

export interface QemuOptions {
  readonly name: string;
  readonly acceleration: Acceleration;
  readonly memoryMib: number;
  readonly kernelImage: string;
  readonly initramfs: string;
  /** The disk, in the qcow2 format. */
  readonly disk: string;
  /** MAC address of the interface on the lab's network. */
  readonly mac: string;
  /** Path of the control socket (QMP). */
  readonly controlSocket: string;
  /** File for what the kernel and systemd print. */
  readonly consoleLog: string;
  /** File with the memory of a snapshot. If undefined, the machine boots. */
  readonly memoryFile: string | undefined;
}

/** The management network has a single machine, so all of them have the same address. */
const MANAGEMENT_MAC = "02:bf:a9:fe:4d:02";

const KERNEL_ARGUMENTS = [
  ...["console=ttyS0", "root=/dev/vda", "rw", "quiet", "net.ifnames=0"],
  // Reboot 10 s after a panic.
  ...["panic=10", "random.trust_cpu=on", "mitigations=off", "systemd.show_status=false"],
];

/** Returns the command line of a virtual machine, which boots the kernel without a boot loader. */
export function qemuCommand(options: QemuOptions): string[] {
  const { name, acceleration, memoryMib, kernelImage, initramfs, disk, mac } = options;
  return [
    ...["qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", "q35", "-smp", "1", "-m", String(memoryMib)],
    ...PROCESSOR[acceleration],
    ...["-kernel", kernelImage, "-initrd", initramfs, "-append", KERNEL_ARGUMENTS.join(" ")],
    // Write through to the image's tables on each flush of the machine, so that a power cut leaves the disk consistent.
    ...["-drive", `file=${disk},if=none,id=disk,format=qcow2,cache=writeback`],
    ...["-device", "virtio-blk-pci,drive=disk"],
    ...networkCard("lan", LAN_TAP, mac),
    ...networkCard("management", MANAGEMENT_TAP, MANAGEMENT_MAC),
    ...["-device", "virtio-rng-pci"],
    ...["-serial", `file:${options.consoleLog}`],
    ...["-qmp", `unix:${options.controlSocket},server=on,wait=off`],
    ...(options.memoryFile === undefined ? [] : ["-incoming", `exec:cat ${options.memoryFile}`]),
  ];
}

const PROCESSOR: Readonly<Record<Acceleration, readonly string[]>> = {
  kvm: ["-accel", "kvm", "-cpu", "host"],
  tcg: ["-accel", "tcg,thread=multi", "-cpu", "max"],
};

function networkCard(id: string, tap: string, mac: string): readonly string[] {
  return [
    ...["-netdev", `tap,id=${id},ifname=${tap},script=no,downscript=no`],
    ...["-device", `virtio-net-pci,netdev=${id},mac=${mac},romfile=`],
  ];
}
