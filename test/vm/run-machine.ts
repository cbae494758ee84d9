import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import type { Kernel } from "../../deploy/lab/vm/debian-kernel.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import type { VmOptions } from "./arguments.js";
import { writeInitramfs } from "./initramfs.js";

/** Factor for the timeouts of the tests and the lab. Emulation is about this much slower. */
const TIMEOUT_SCALE = 20;
/** Number of lines of the kernel's log in the error when the machine ends without an exit code. */
const TAIL_LINES = 20;

/** Boots the kernel with this machine's files, runs the command, and returns its exit code. */
export async function runMachine(kernel: Kernel, options: VmOptions, signal: AbortSignal): Promise<number> {
  const scratch = temporaryDirectory();
  const [out, log] = [join(scratch, "out"), join(scratch, "kernel.log")];
  try {
    await mkdir(out);
    const initramfs = await writeInitramfs(kernel, { scratch, command: options.command }, signal);
    await emulate(qemuArguments(kernel, options, { initramfs, out, log }), options.timeoutMs, signal);
    const code = await readFile(join(out, "exit-code"), "utf8").catch(() => "");
    if (/^\d+\n$/.test(code)) return Number(code);
    const tail = (await readFile(log, "utf8").catch(() => "")).trimEnd().split("\n").slice(-TAIL_LINES);
    throw new Error(
      `the machine stopped before the command completed; end of the kernel's log:\n${tail.join("\n")}`,
    );
  } finally {
    if (options.log !== undefined) await copyFile(log, options.log).catch(() => {});
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Files {
  readonly initramfs: string;
  /** Directory into which the machine writes the exit code. */
  readonly out: string;
  readonly log: string;
}

function qemuArguments(
  kernel: Kernel,
  { cpus, memoryMib }: VmOptions,
  { initramfs, out, log }: Files,
): readonly string[] {
  const settings = [
    "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on",
    `berth.modules=${kernel.modules} berth.checkout=${REPO_ROOT} berth.timeout_scale=${TIMEOUT_SCALE}`,
  ];
  return [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"],
    ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"],
    ...["-smp", String(cpus), "-m", String(memoryMib)],
    ...["-serial", `file:${log}`, "-serial", "stdio"],
    ...["-virtfs", "local,path=/,mount_tag=host,readonly=on,security_model=none,multidevs=remap"],
    ...["-virtfs", `local,path=${out},mount_tag=out,security_model=none`],
    ...["-kernel", kernel.image, "-initrd", initramfs, "-append", settings.join(" ")],
  ];
}

/** Runs QEMU until it exits. The kernel kills it when this process ends for any reason. */
async function emulate(args: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const argv = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args];
  const machine = spawn("setpriv", argv, { stdio: ["ignore", "inherit", "inherit"], detached: true });
  const end = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const switchOff = (): boolean => machine.kill("SIGKILL");
  end.addEventListener("abort", switchOff);
  try {
    const [code] = await once(machine, "exit");
    signal.throwIfAborted();
    if (end.aborted) throw new Error(`the machine was stopped after the timeout of ${timeoutMs / 1_000} s`);
    if (code !== 0) throw new Error(`qemu-system-x86_64 failed with exit code ${code}`);
  } finally {
    end.removeEventListener("abort", switchOff);
  }
}
