import { expect, test } from "vitest";
import { comparePath, hostPathSegments } from "./host-path.js";

test.each([
  ["/", []],
  ["//srv/./data//", ["srv", "data"]],
  ["/var/run/docker.sock", ["run", "docker.sock"]],
  ["/var/lock", ["run", "lock"]],
  ["/proc/1/root", []],
  ["/proc/self/task/7/root/var/run/x", ["run", "x"]],
  ["/proc/{{.Task.Slot}}/root/etc", ["etc"]],
  ["/proc/1/fd/3", []],
  ["/dev/fd/3", []],
  ["/proc", ["proc"]],
  ["/proc/1/environ", ["proc", "1", "environ"]],
  ["/proc/sys/root", ["proc", "sys", "root"]],
])("hostPathSegments resolves %s without the host", (path, segments) => {
  expect(hostPathSegments(path)).toEqual(segments);
});

test.each(["", "srv", "./srv", "/srv/..", "/srv/../etc", "/.."])("hostPathSegments rejects %s", (path) => {
  expect(hostPathSegments(path)).toBeUndefined();
});

test.each([
  ["/srv", "/srv", "inside"],
  ["/srv", "/srv/data", "inside"],
  ["/srv", "/srv2", "none"],
  ["/srv/data", "/srv", "contains"],
  ["/dev/sd*", "/dev/sda1", "inside"],
  ["/dev/sd*", "/dev", "contains"],
  ["/srv/*/logs", "/srv/a/b/logs", "none"],
  ["/", "/etc", "inside"],
  ["/etc", "/", "contains"],
] as const)("comparePath relates the pattern %s to %s as %s", (pattern, path, relation) => {
  const segments = (text: string): readonly string[] => hostPathSegments(text) ?? [];
  expect(comparePath(segments(pattern), segments(path), { templates: true })).toBe(relation);
});

test("a placeholder in a path can become a denied name, and never counts as an allowed one", () => {
  const path = ["srv", "{{.Service.Name}}"];
  expect(comparePath(["srv", "secret"], path, { templates: true })).toBe("inside");
  expect(comparePath(["srv", "secret"], path, { templates: false })).toBe("none");
  expect(comparePath(["srv"], path, { templates: false })).toBe("inside");
});
