import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../run.js";
import type { BaseImage } from "./base-image.js";
import type { Acceleration } from "./qemu-command.js";
import { VM_CACHE } from "./vm-cache.js";

const RESULT_FILE = join(VM_CACHE, "acceleration.json");
/** What init.sh prints when the kernel has booted. */
const INIT_MESSAGE = "initramfs started";
/** The probe takes two seconds where hardware virtualization works. */
const PROBE_TIMEOUT_MS = 20_000;

/**
 * Returns how virtual machines run fastest here. Boots the kernel with KVM to find out, once after each boot of this
 * machine: /dev/kvm can exist although no kernel boots with it.
 */
export async function findAcceleration(image: BaseImage, signal?: AbortSignal): Promise<Acceleration> {
  if (!existsSync("/dev/kvm")) return "tcg";
  const bootId = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
  const stored = parseResult(await readFile(RESULT_FILE, "utf8").catch(() => ""), bootId);
  if (stored !== undefined) return stored;
  const acceleration = (await bootsWithKvm(image, signal)) ? "kvm" : "tcg";
  await mkdir(VM_CACHE, { recursive: true });
  await writeFile(RESULT_FILE, JSON.stringify({ bootId, acceleration }));
  return acceleration;
}

/** Returns the stored result of a probe, or undefined if there is none since this machine has booted. */
export function parseResult(text: string, bootId: string): Acceleration | undefined {
  try {
    const result = JSON.parse(text) as { readonly bootId?: unknown; readonly acceleration?: unknown };
    if (result.bootId !== bootId) return undefined;
    return result.acceleration === "kvm" || result.acceleration === "tcg" ? result.acceleration : undefined;
  } catch {
    return undefined;
  }
}

/** Boots the initramfs, which powers off because there is no disk. */
async function bootsWithKvm(image: BaseImage, signal: AbortSignal | undefined): Promise<boolean> {
  const command = [
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256"],
    ...["-kernel", image.kernelImage, "-initrd", image.initramfs],
    ...["-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio"],
  ];
  try {
    const { stdout } = await run(command, { timeoutMs: PROBE_TIMEOUT_MS, signal });
    return stdout.includes(INIT_MESSAGE);
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}
