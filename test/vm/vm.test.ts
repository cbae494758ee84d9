import { describe, expect, it } from "vitest";
import { inOrder } from "../../deploy/lab/vm/kernel-modules.js";
import { parseArguments, pathProblem } from "./arguments.js";

describe("parseArguments()", () => {
  it("parses options followed by a command, given as arguments or as one shell command", () => {
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
    [[], "missing command"],
    [["--cpus", "0", "true"], 'invalid value "0" for --cpus: expected a positive whole number'],
    [["--nosuch", "true"], "Unknown option '--nosuch'"],
  ])("rejects the arguments %j", (argv, message) => {
    expect(parseArguments(argv)).toMatchObject({
      kind: "invalid",
      message: expect.stringContaining(message),
    });
  });
});

it("pathProblem() names the unsupported path and the remedy", () => {
  expect(pathProblem({ checkout: "/my,berth", temporary: "/my tmp" })).toBeUndefined();
  expect(pathProblem({ checkout: "/my berth", temporary: "/tmp" })).toContain('"/my berth"');
  expect(pathProblem({ checkout: "/berth", temporary: "/tmp,1" })).toMatch(/"\/tmp,1".*set TMPDIR/);
});

it("inOrder() lists each module once, after its dependencies", () => {
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
