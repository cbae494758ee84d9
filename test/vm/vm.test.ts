import { describe, expect, it } from "vitest";
import { parseArguments, pathProblem } from "./arguments.js";
import { inOrder } from "./initramfs.js";

describe("the arguments of the emulated machine", () => {
  it("are a command, as words or as a line for the shell, and options before it", () => {
    expect(parseArguments(["--cpus", "4", "--", "echo", "it's", "--cpus"])).toEqual({
      kind: "run",
      options: {
        command: "'echo' 'it'\\''s' '--cpus'",
        cpus: 4,
        memoryMib: 6_144,
        timeoutMs: 1_800_000,
        log: undefined,
      },
    });
    expect(parseArguments(["uname -r; id"])).toMatchObject({ options: { command: "uname -r; id" } });
    expect(parseArguments(["-h"])).toEqual({ kind: "help" });
  });

  it.each([
    [[], "no command is given"],
    [["--cpus", "0", "true"], '--cpus must be a whole number of at least 1, not "0"'],
    [["--nosuch", "true"], "Unknown option '--nosuch'"],
  ])("are refused when they are %j", (words, message) => {
    expect(parseArguments(words)).toMatchObject({ kind: "wrong", message: expect.stringContaining(message) });
  });
});

it("paths that the machine cannot be given are named, with what to do", () => {
  expect(pathProblem({ checkout: "/my,berth", temporary: "/my tmp" })).toBeUndefined();
  expect(pathProblem({ checkout: "/my berth", temporary: "/tmp" })).toContain('"/my berth"');
  expect(pathProblem({ checkout: "/berth", temporary: "/tmp,1" })).toMatch(/"\/tmp,1".*set TMPDIR/);
});

it("modules are loaded after those that they need, each once", () => {
  const dependencies = `kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz
kernel/net/9p/9pnet.ko.xz:
kernel/fs/netfs/netfs.ko.xz:
kernel/fs/other-fs.ko.xz:
`;
  expect(inOrder(dependencies, ["9pnet_virtio", "9p", "other_fs", "part_of_the_kernel"])).toEqual([
    "kernel/net/9p/9pnet.ko.xz",
    "kernel/net/9p/9pnet_virtio.ko.xz",
    "kernel/fs/netfs/netfs.ko.xz",
    "kernel/fs/9p/9p.ko.xz",
    "kernel/fs/other-fs.ko.xz",
  ]);
});
