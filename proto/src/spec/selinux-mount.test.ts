import { expect, test } from "vitest";
import { Mount } from "../../gen/berth/v1/spec.js";
import { selinuxMountProblem } from "./selinux-mount.js";

const bind = { source: "/srv", selinux: "z", recursive: "" };
const problemOf = (target: string, value: Partial<typeof bind>): string | undefined =>
  selinuxMountProblem(Mount.fromPartial({ target, kind: { $case: "bind", value: { ...bind, ...value } } }));

test("accepts an SELinux label of a plain bind mount", () => {
  expect(problemOf("/srv", {})).toBeUndefined();
  expect(problemOf("/srv", { recursive: "enabled" })).toBeUndefined();
  expect(problemOf("/srv", { source: "/a:b", selinux: "" })).toBeUndefined();
});

test("refuses an SELinux label that Docker would ignore", () => {
  expect(problemOf("/srv", { source: "/a:b" })).toContain("colon");
  expect(problemOf("/a:b", {})).toContain("colon");
  expect(problemOf("/srv", { recursive: "disabled" })).toContain("recursive");
  const shipped = { digest: "", source: "./a:b", selinux: "Z" };
  const mountAt = (target: string): Mount =>
    Mount.fromPartial({ target, kind: { $case: "shipped", value: shipped } });
  expect(selinuxMountProblem(mountAt("/srv"))).toBeUndefined();
  expect(selinuxMountProblem(mountAt("/a:b"))).toContain("colon");
});
