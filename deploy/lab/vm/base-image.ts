import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { appendFile, chmod, copyFile, cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { debianMirror } from "../../setup/debian-mirror.mjs";
import { ownedDirectory } from "../../setup/owned-directory.mjs";
import { runOrThrow } from "../run.js";
import type { Kernel } from "./debian-kernel.js";
import { copyModules, packInitramfs } from "./kernel-modules.js";
import { knownHost } from "./management-ssh.js";
import { VM_CACHE } from "./vm-cache.js";
import { guestFile, readGuestFile } from "./vm-files.js";

/** Packages of the image: systemd, ssh, Docker and etcd, what the berth package depends on, and tools for debugging. */
const PACKAGES = [
  ...["systemd-sysv", "dbus", "udev", "kmod", "openssh-server", "ca-certificates", "curl"],
  ...["docker.io", "etcd-server", "iproute2", "iptables", "nftables", "conntrack", "wireguard-tools"],
  ...["debconf", "libstdc++6", "iputils-ping", "procps", "tcpdump"],
];
/** Files that a server without users does not need. They are a third of the image. */
const EXCLUDED = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"];
/** Units that would run beside berth's own etcd, or delay the boot. */
const MASKED_UNITS = [
  ...[
    "etcd.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
  ],
  ...["e2scrub_reap.service", "fstrim.timer", "systemd-networkd-wait-online.service", "getty@tty1.service"],
];
const GUEST_FILES = ["init.sh", "lab-network.service", "network.sh", "sshd.conf"] as const;
/** Modules that the initramfs needs to mount the disk. */
const ROOT_MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"];
/** Size of the disk. It is sparse: the image takes about 1 GB. */
const DISK_SIZE = "12G";
/** Allows for downloading 150 MB and configuring 150 packages on a busy machine. */
const BUILD_TIMEOUT_MS = 1_800_000;
/** The Debian release of the virtual machines. */
export const DEFAULT_RELEASE = "bookworm";

/** A disk with Debian for the virtual machines of the lab, and the files that boot it. */
export interface BaseImage {
  /** Identifies the content of the image. */
  readonly key: string;
  readonly directory: string;
  /** The disk, in raw format. */
  readonly disk: string;
  readonly kernelImage: string;
  readonly initramfs: string;
}

/** Returns the key of an image, which changes with its packages, files and kernel. */
export function imageKey(release: string, kernelRelease: string, files: readonly string[]): string {
  const content = [release, kernelRelease, PACKAGES, EXCLUDED, MASKED_UNITS, ROOT_MODULES, DISK_SIZE, files];
  return `${release}-${createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 16)}`;
}

export interface BaseImageOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called when a build starts, with its description. */
  readonly onProgress?: ((step: string) => void) | undefined;
}

/** Returns the image of a Debian release. Builds it from Debian's packages, unless it is cached. */
export async function ensureBaseImage(
  kernel: Kernel,
  release: string,
  { signal, onProgress }: BaseImageOptions,
): Promise<BaseImage> {
  const key = imageKey(release, kernel.release, await Promise.all(GUEST_FILES.map(readGuestFile)));
  const directory = join(VM_CACHE, "images", key);
  const image: BaseImage = {
    key,
    directory,
    disk: join(directory, "disk.raw"),
    kernelImage: join(directory, "vmlinuz"),
    initramfs: join(directory, "initramfs.cpio"),
  };
  if (existsSync(directory)) return image;
  onProgress?.(`building the image of Debian ${release} in ${directory} (a few minutes, only once)`);
  const scratch = ownedDirectory(join(VM_CACHE, "images"), ".new-");
  try {
    const root = join(scratch, "root");
    await installPackages(root, release, signal);
    const newImage = join(scratch, "image");
    await mkdir(newImage);
    await writeGuestFiles(root, kernel, signal);
    await createKeys(root, newImage, signal);
    await copyFile(kernel.image, join(newImage, basename(image.kernelImage)));
    await writeInitramfs(kernel, scratch, join(newImage, basename(image.initramfs)), signal);
    const disk = join(newImage, basename(image.disk));
    const mke2fs = ["mke2fs", "-q", "-t", "ext4", "-L", "lab", "-d", root, disk, DISK_SIZE];
    await runOrThrow(mke2fs, { timeoutMs: BUILD_TIMEOUT_MS, signal });
    await rename(newImage, directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return image;
}

async function installPackages(
  root: string,
  release: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const command = [
    ...[
      "nice",
      "mmdebstrap",
      "--quiet",
      "--mode=root",
      "--variant=minbase",
      `--include=${PACKAGES.join(",")}`,
    ],
    ...EXCLUDED.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    ...[release, root, debianMirror()],
  ];
  await runOrThrow(command, { timeoutMs: BUILD_TIMEOUT_MS, signal });
}

async function writeGuestFiles(root: string, kernel: Kernel, signal: AbortSignal | undefined): Promise<void> {
  await mkdir(join(root, "usr/local/lib/lab"), { recursive: true });
  await copyFile(guestFile("network.sh"), join(root, "usr/local/lib/lab/network.sh"));
  await copyFile(guestFile("lab-network.service"), join(root, "etc/systemd/system/lab-network.service"));
  await copyFile(guestFile("sshd.conf"), join(root, "etc/ssh/sshd_config.d/lab.conf"));
  await cp(kernel.modules, join(root, "lib/modules", kernel.release), { recursive: true });
  // The machines have no route to a mirror or a name server.
  await writeFile(join(root, "etc/apt/sources.list"), "");
  await writeFile(join(root, "etc/resolv.conf"), "");
  await writeFile(join(root, "etc/hostname"), "lab\n");
  const systemctl = ["systemctl", "--quiet", `--root=${root}`];
  await runOrThrow([...systemctl, "enable", "lab-network.service", "ssh.service", "docker.service"], {
    signal,
  });
  await runOrThrow([...systemctl, "mask", ...MASKED_UNITS], { signal });
}

/** Creates the key with which the lab runs commands on its machines, and the key by which it recognizes them. */
async function createKeys(root: string, directory: string, signal: AbortSignal | undefined): Promise<void> {
  const hostKey = join(root, "etc/ssh/ssh_host_ed25519_key");
  for (const type of ["rsa", "ecdsa", "ed25519"]) {
    for (const suffix of ["", ".pub"]) {
      await rm(join(root, `etc/ssh/ssh_host_${type}_key${suffix}`), { force: true });
    }
  }
  for (const file of [hostKey, join(directory, "id_ed25519")]) {
    await runOrThrow(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "berth-lab", "-f", file], {
      signal,
    });
  }
  await writeFile(join(directory, "known_hosts"), knownHost(await readFile(`${hostKey}.pub`, "utf8")));
  await mkdir(join(root, "root/.ssh"), { recursive: true, mode: 0o700 });
  await appendFile(
    join(root, "root/.ssh/authorized_keys"),
    await readFile(join(directory, "id_ed25519.pub")),
  );
}

async function writeInitramfs(
  kernel: Kernel,
  scratch: string,
  archive: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const root = join(scratch, "initramfs");
  for (const directory of ["bin", "modules", "proc", "sys", "dev", "root"]) {
    await mkdir(join(root, directory), { recursive: true });
  }
  await copyFile("/bin/busybox", join(root, "bin/busybox"));
  await copyFile(guestFile("init.sh"), join(root, "init"));
  await chmod(join(root, "init"), 0o755);
  await copyModules(kernel, ROOT_MODULES, join(root, "modules"));
  await packInitramfs(root, archive, signal);
}
