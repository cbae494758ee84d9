import { describe, expect, it } from "vitest";
import { parseCommand } from "../../deploy/lab/cli/parse-command.js";
import { parseResult } from "../../deploy/lab/vm/acceleration.js";
import { imageKey } from "../../deploy/lab/vm/base-image.js";
import { connectCommand, knownHost, remoteCommand } from "../../deploy/lab/vm/management-ssh.js";
import { type QemuOptions, qemuCommand } from "../../deploy/lab/vm/qemu-command.js";

const SSH = { netns: "/run/netns/h1", connectionSocket: "/run/ssh.sock", keyDirectory: "/cache/image" };

describe("qemuCommand()", () => {
  const options: QemuOptions = {
    name: "h1",
    acceleration: "tcg",
    memoryMib: 512,
    kernelImage: "/cache/vmlinuz",
    initramfs: "/cache/initramfs.cpio",
    disk: "/lab/h1/disk.qcow2",
    mac: "02:be:0a:4d:00:0b",
    controlSocket: "/run/h1/qmp.sock",
    consoleLog: "/lab/h1/console.log",
    memoryFile: undefined,
  };

  it("boots the kernel directly from the disk, with one interface on each network", () => {
    const command = qemuCommand(options);
    expect(valuesOf(command, "-kernel")).toEqual(["/cache/vmlinuz"]);
    expect(valuesOf(command, "-append")[0]).toContain("root=/dev/vda rw");
    expect(valuesOf(command, "-drive")).toEqual([
      "file=/lab/h1/disk.qcow2,if=none,id=disk,format=qcow2,cache=writeback",
    ]);
    expect(valuesOf(command, "-netdev")).toEqual([
      "tap,id=lan,ifname=tap0,script=no,downscript=no",
      "tap,id=management,ifname=tap1,script=no,downscript=no",
    ]);
    expect(valuesOf(command, "-device")).toContain(
      "virtio-net-pci,netdev=lan,mac=02:be:0a:4d:00:0b,romfile=",
    );
    expect(command).not.toContain("-incoming");
  });

  it("reads the memory of a snapshot", () => {
    const command = qemuCommand({ ...options, memoryFile: "/cache/snapshot/memory" });
    expect(valuesOf(command, "-incoming")).toEqual(["exec:cat /cache/snapshot/memory"]);
  });

  it.each([
    ["kvm", "kvm", "host"],
    ["tcg", "tcg,thread=multi", "max"],
  ] as const)("selects the processor for %s", (acceleration, accelerator, processor) => {
    const command = qemuCommand({ ...options, acceleration });
    expect(valuesOf(command, "-accel")).toEqual([accelerator]);
    expect(valuesOf(command, "-cpu")).toEqual([processor]);
  });
});

describe("ssh on the management network", () => {
  it("runs in the network namespace of the machine and quotes arguments for its shell", () => {
    const command = remoteCommand(SSH, ["sh", "-c", "echo it's $0", "/etc/hosts"], false);
    expect(command.slice(0, 3)).toEqual(["nsenter", "--net=/run/netns/h1", "ssh"]);
    expect(command.slice(-7)).toEqual([
      ...["-T", "root@169.254.77.2", "--"],
      ...["sh", "-c", "'echo it'\\''s $0'", "/etc/hosts"],
    ]);
  });

  it("accepts only the key of the image", () => {
    const command = remoteCommand(SSH, ["true"], true);
    expect(command).toContain("-t");
    expect(command).toContain("StrictHostKeyChecking=yes");
    expect(command).toContain("UserKnownHostsFile=/cache/image/known_hosts");
    expect(knownHost("ssh-ed25519 AAAA berth-lab\n")).toBe("169.254.77.2 ssh-ed25519 AAAA\n");
  });

  it("forwards unix sockets", () => {
    expect(valuesOf(connectCommand(SSH, { "/run/h1/docker.sock": "/run/docker.sock" }), "-L")).toEqual([
      "/run/h1/docker.sock:/run/docker.sock",
    ]);
  });
});

it("imageKey() changes with the release, the kernel and the files of the image", () => {
  const key = imageKey("bookworm", "6.1.0-1-amd64", ["a", "b"]);
  expect(key).toMatch(/^bookworm-[0-9a-f]{16}$/);
  expect(imageKey("bookworm", "6.1.0-1-amd64", ["a", "b"])).toBe(key);
  const others = [
    imageKey("trixie", "6.1.0-1-amd64", ["a", "b"]),
    imageKey("bookworm", "6.1.0-2-amd64", ["a", "b"]),
    imageKey("bookworm", "6.1.0-1-amd64", ["ab", ""]),
  ];
  expect(new Set([key, ...others]).size).toBe(4);
});

it("parseResult() ignores the result of a probe before this machine's last boot", () => {
  const result = JSON.stringify({ bootId: "now", acceleration: "kvm" });
  expect(parseResult(result, "now")).toBe("kvm");
  expect(parseResult(result, "later")).toBeUndefined();
  expect(parseResult(JSON.stringify({ bootId: "now", acceleration: "xen" }), "now")).toBeUndefined();
  expect(parseResult("", "now")).toBeUndefined();
});

it("parseCommand() parses --vm for up only", () => {
  expect(parseCommand(["up", "--vm", "--hosts", "2"])).toMatchObject({
    kind: "up",
    hosts: 2,
    isVirtual: true,
  });
  expect(parseCommand(["up"])).toMatchObject({ isVirtual: false });
  expect(() => parseCommand(["status", "--vm"])).toThrow("unknown option --vm for status");
});

/** Returns the arguments that follow an option. */
function valuesOf(command: readonly string[], option: string): string[] {
  return command.flatMap((word, index) => (word === option ? [command[index + 1] ?? ""] : []));
}
