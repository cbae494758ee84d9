import { Mount } from "@berth/proto";
import { expect, test } from "vitest";
import { mountConfig } from "./mounts.js";

type Kind = NonNullable<Parameters<typeof Mount.fromPartial>[0]["kind"]>;

const expandPlaceholders = (text: string): string => text.replace("{{.Task.Slot}}", "2");
const copyPathOf = (index: number): string => `/copies/task1/mount-${index}`;
const configOf = (kind: Kind, over: { readonly readOnly?: boolean } = {}) =>
  mountConfig([Mount.fromPartial({ target: "/t", kind, ...over })], expandPlaceholders, copyPathOf);

test("a tmpfs with further options is written as mount options, and others as a mount", () => {
  const options = ["uid=1000", "exec"];
  const tmpfs = { sizeBytes: 1_024, mode: 0o1770, options };
  expect(configOf({ $case: "tmpfs", value: tmpfs }, { readOnly: true })).toEqual({
    binds: [],
    mounts: [],
    tmpfs: { "/t": "ro,uid=1000,exec,size=1024,mode=1770" },
  });
  expect(configOf({ $case: "tmpfs", value: { sizeBytes: 1_024 } })).toEqual({
    binds: [],
    mounts: [{ Type: "tmpfs", Target: "/t", ReadOnly: false, TmpfsOptions: { SizeBytes: 1_024 } }],
    tmpfs: {},
  });
});

test("a volume can have a subpath, and placeholders in its name, its labels and its target", () => {
  const value = {
    name: "data-{{.Task.Slot}}",
    subpath: "{{.Task.Slot}}/a",
    labels: { slot: "{{.Task.Slot}}" },
  };
  const mount = Mount.fromPartial({ target: "/t{{.Task.Slot}}", kind: { $case: "volume", value } });
  expect(mountConfig([mount], expandPlaceholders, copyPathOf).mounts).toEqual([
    {
      Type: "volume",
      Target: "/t2",
      ReadOnly: false,
      Source: "data-2",
      VolumeOptions: { NoCopy: false, Labels: { slot: "2" }, Subpath: "2/a" },
    },
  ]);
});

test("an image is mounted with its subpath", () => {
  expect(configOf({ $case: "image", value: { image: "nginx:1", subpath: "usr" } }).mounts).toEqual([
    { Type: "image", Target: "/t", ReadOnly: false, Source: "nginx:1", ImageOptions: { Subpath: "usr" } },
  ]);
  expect(configOf({ $case: "image", value: { image: "nginx:1" } }).mounts[0]).not.toHaveProperty(
    "ImageOptions",
  );
});

test.each([
  ["disabled", { NonRecursive: true }],
  ["writable", { ReadOnlyNonRecursive: true }],
  ["readonly", { ReadOnlyForceRecursive: true }],
])(
  "a bind mount with recursive %s is written as a mount, even if it creates its source",
  (recursive, options) => {
    const value = { source: "/srv", recursive, createHostPath: true };
    expect(configOf({ $case: "bind", value })).toMatchObject({
      binds: [],
      mounts: [{ Type: "bind", Source: "/srv", BindOptions: { CreateMountpoint: true, ...options } }],
    });
  },
);

test("a shipped mount is a bind mount of the copy of the task, with its SELinux label", () => {
  const value = { digest: `sha256:${"a".repeat(64)}`, source: "./conf" };
  expect(configOf({ $case: "shipped", value }, { readOnly: true })).toEqual({
    binds: [],
    mounts: [
      { Type: "bind", Source: "/copies/task1/mount-0", Target: "/t", ReadOnly: true, BindOptions: {} },
    ],
    tmpfs: {},
  });
  const labeled = configOf({ $case: "shipped", value: { ...value, selinux: "Z" } });
  expect(labeled.binds).toEqual(["/copies/task1/mount-0:/t:rw,Z"]);
});
