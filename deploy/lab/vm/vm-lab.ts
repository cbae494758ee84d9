import { TIMING_SCALE_VARIABLE } from "@berth/proto";
import { BaseLab } from "../base-lab.js";
import { type NewLabOptions, validateOptions } from "../lab-options.js";
import type { LabState, VmSettings } from "../lab-state.js";
import { Lan } from "../lan.js";
import { launchLab } from "../launch-lab.js";
import { DEFAULT_LAB, hostAddress, serverMachineAddress, templateAddress } from "../subnet.js";
import { raiseTimeoutScale } from "../wait-until.js";
import { findAcceleration } from "./acceleration.js";
import { type BaseImage, DEFAULT_RELEASE, ensureBaseImage } from "./base-image.js";
import { type BerthPackage, ensureBerthPackage } from "./berth-package.js";
import { fetchKernel } from "./debian-kernel.js";
import { type MachineSource, QemuMachine } from "./qemu-machine.js";
import {
  ensureSnapshot,
  imageSource,
  installPackage,
  removeOldPackages,
  type SnapshotDirectories,
  snapshotDirectories,
  snapshotSource,
  waitForDocker,
} from "./snapshot.js";
import { VmHost } from "./vm-host.js";
import { VmServer, VmServerMachine } from "./vm-server.js";

/** Factor of the lab's timeouts and of berth's own timings under emulation. */
const EMULATION_SCALE = 30;

/** A lab whose machines are virtual machines with Debian's kernel and systemd. */
export class VmLab extends BaseLab<VmHost, VmServer> {
  readonly hosts: readonly VmHost[];
  /** The machine without agent that runs the only server. Undefined if the hosts run servers. */
  readonly serverMachine: VmServerMachine | undefined;
  readonly servers: readonly VmServer[];
  /** Factor of berth's own timings. */
  readonly timingScale: number;
  readonly #state: LabState<VmSettings>;

  constructor(state: LabState<VmSettings>) {
    super(state);
    this.#state = state;
    const { name: lab, subnet, hasBerth, serverHostCount } = state;
    const timingScale = state.machines.acceleration === "tcg" ? EMULATION_SCALE : 1;
    this.timingScale = timingScale;
    raiseTimeoutScale(timingScale);
    const source = snapshotSource(state.machines.snapshot);
    const newMachine = (name: string, address: string): QemuMachine =>
      this.createMachine(name, address, source);
    const machines = state.hostNames.map((name, index) => newMachine(name, hostAddress(subnet, index)));
    if (hasBerth && serverHostCount === 0) {
      const machine = newMachine("s1", serverMachineAddress(subnet));
      this.serverMachine = new VmServerMachine({ lab, machine, timingScale });
      this.servers = [this.serverMachine.berthServer];
    } else this.servers = createServers(lab, machines.slice(0, serverHostCount), timingScale);
    const { images, servers } = this;
    this.hosts = machines.map((machine) => new VmHost({ lab, machine, images, servers, timingScale }));
  }

  get machines(): readonly (VmServerMachine | VmHost)[] {
    return this.serverMachine === undefined ? this.hosts : [this.serverMachine, ...this.hosts];
  }

  /** The command line must wait as long for its calls as the servers and agents do for theirs. */
  override cliEnv(): NodeJS.ProcessEnv {
    return { ...super.cliEnv(), [TIMING_SCALE_VARIABLE]: String(this.timingScale) };
  }

  /** Returns a machine of this lab's network, which starts from `source`. */
  createMachine(name: string, address: string, source: MachineSource): QemuMachine {
    const { name: lab, machines } = this.#state;
    const { acceleration, image } = machines;
    return new QemuMachine({ lab, name, address, lan: new Lan(lab), image, acceleration, source });
  }

  /** Returns the machine with which snapshots are made. */
  createTemplate(source: MachineSource): QemuMachine {
    return this.createMachine("template", templateAddress(this.#state.subnet), source);
  }
}

/**
 * Creates a lab of virtual machines. Builds the image, the package and the snapshots of the machines, unless they are
 * cached. Returns once Docker responds on every host and every server is healthy. Removes the lab again after an error
 * or an abort.
 *
 * @throws LabError LAB_EXISTS, LAB_BAD_USAGE, LAB_UNSUPPORTED, LAB_NOT_READY.
 */
export async function createVmLab(options: NewLabOptions): Promise<VmLab> {
  const { name = DEFAULT_LAB, hasBerth = true, signal, onProgress } = options;
  validateOptions(options);
  const kernel = await fetchKernel(signal ?? new AbortController().signal);
  const image = await ensureBaseImage(kernel, DEFAULT_RELEASE, { signal, onProgress });
  const acceleration = await findAcceleration(image, signal);
  if (acceleration === "tcg") {
    raiseTimeoutScale(EMULATION_SCALE);
    onProgress?.("no hardware virtualization: the machines are emulated, and berth's timings are scaled");
  }
  const berth = hasBerth ? await ensureBerthPackage({ signal, onProgress }) : undefined;
  const directories = await snapshotDirectories(image, berth, acceleration);
  const machines: VmSettings = {
    kind: "vms",
    acceleration,
    image,
    snapshot: directories.installed ?? directories.booted,
  };
  const prepare = (lab: VmLab): Promise<void> =>
    ensureSnapshots(lab, { image, berth, directories, signal, onProgress });
  return launchLab({ ...options, name, machines, open: (state) => new VmLab(state), prepare });
}

interface SnapshotOptions extends Pick<NewLabOptions, "signal" | "onProgress"> {
  readonly image: BaseImage;
  readonly berth: BerthPackage | undefined;
  readonly directories: SnapshotDirectories;
}

/** Makes the snapshots from which the machines of a lab start, unless they are cached. */
async function ensureSnapshots(
  lab: VmLab,
  { image, berth, directories, signal, onProgress }: SnapshotOptions,
): Promise<void> {
  const { booted, installed } = directories;
  await ensureSnapshot({
    directory: booted,
    machine: lab.createTemplate(imageSource(image)),
    prepare: (machine) => waitForDocker(machine, signal),
    signal,
    onStarted: () => onProgress?.("booting a machine for the first snapshot"),
  });
  if (berth === undefined || installed === undefined) return;
  await ensureSnapshot({
    directory: installed,
    machine: lab.createTemplate(snapshotSource(booted)),
    prepare: (machine) => installPackage(machine, berth, lab.timingScale, signal),
    signal,
    onStarted: () => onProgress?.("installing the package for the second snapshot"),
  });
  await removeOldPackages(installed);
}

/** Returns the servers of a cluster. The first machine creates it, and the others join. */
function createServers(
  lab: string,
  [machine, ...others]: readonly QemuMachine[],
  timingScale: number,
): readonly VmServer[] {
  if (machine === undefined) return [];
  const first = new VmServer({ lab, machine, timingScale });
  return [first, ...others.map((other) => new VmServer({ lab, machine: other, first, timingScale }))];
}
