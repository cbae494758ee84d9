import { FileKind, type FileMount, FileVersion, type ServiceSpec } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildSpec } from "../testing/records.js";
import { fileMounts } from "./file-mounts.js";
import { type FileLookup, resolveFileVersions } from "./resolve-file-versions.js";

const version = (id: string, over: Partial<FileVersion> = {}): FileVersion =>
  FileVersion.fromPartial({ id, kind: FileKind.SECRET, name: "password", version: 1, ...over });

const mount = (over: Partial<FileMount> = {}): FileMount => ({
  kind: FileKind.SECRET,
  name: "password",
  versionId: "",
  target: "/run/secrets/p",
  uid: "0",
  gid: "0",
  env: "",
  ...over,
});

const specWith = (...files: FileMount[]): ServiceSpec => buildSpec({ task: { container: { files } } });

/** The look-up of these versions. The first one of each name is the newest. */
function lookupOf(versions: readonly FileVersion[], declared?: FileVersion): FileLookup {
  return {
    get: (fileId) => versions.find(({ id }) => id === fileId),
    newest: ({ kind, name }) => versions.find((file) => file.kind === kind && file.name === name),
    declared: ({ name }) => (declared?.name === name ? declared : undefined),
  };
}

const idsOf = (spec: ServiceSpec): readonly string[] => fileMounts(spec).map(({ versionId }) => versionId);

describe("resolveFileVersions()", () => {
  const two = lookupOf([version("new", { version: 2 }), version("old")]);

  it.each([
    ["a new service gets the newest version", { kind: "keep", current: undefined }, mount(), "new"],
    [
      "a change keeps the current version",
      { kind: "keep", current: specWith(mount({ versionId: "old" })) },
      mount(),
      "old",
    ],
    [
      "an id in the request is ignored",
      { kind: "keep", current: undefined },
      mount({ versionId: "old" }),
      "new",
    ],
    [
      "a version that is gone is replaced",
      { kind: "keep", current: specWith(mount({ versionId: "gone" })) },
      mount(),
      "new",
    ],
    [
      "a mount keeps no version of another secret",
      { kind: "keep", current: specWith(mount({ name: "other", versionId: "old" })) },
      mount(),
      "new",
    ],
    ["a forced update takes the newest version", { kind: "newest" }, mount({ versionId: "old" }), "new"],
    [
      "a rollback keeps the version of the earlier spec",
      { kind: "restore" },
      mount({ versionId: "old" }),
      "old",
    ],
  ] as const)("%s", (_, choice, file, expected) => {
    const { spec, violations } = resolveFileVersions(specWith(file), choice, two);
    expect(violations).toEqual([]);
    expect(idsOf(spec)).toEqual([expected]);
  });

  it("takes the content that the same change declares, also when the service names another version", () => {
    const files = lookupOf(
      [version("new", { version: 2 }), version("old")],
      version("declared", { version: 3 }),
    );
    const current = specWith(mount({ versionId: "old" }));
    const { spec } = resolveFileVersions(specWith(mount()), { kind: "keep", current }, files);
    expect(idsOf(spec)).toEqual(["declared"]);
  });

  it.each([
    ["a missing secret", [], "keep", "no such secret password; create it with berth secret create password"],
    ["a removed secret", [version("old", { removing: true })], "keep", "secret password is being removed"],
    [
      "a rollback to a version that is gone",
      [version("new")],
      "restore",
      "the content of secret password that this version used no longer exists: secret password was removed since then",
    ],
    [
      "a rollback to a version of another secret",
      [version("x", { name: "other" })],
      "restore",
      "the content of secret password that this version used no longer exists: secret password was removed since then",
    ],
  ] as const)("reports %s", (_, versions, kind, message) => {
    const choice = kind === "keep" ? ({ kind, current: undefined } as const) : ({ kind } as const);
    const spec = specWith(mount({ versionId: "x" }));
    expect(resolveFileVersions(spec, choice, lookupOf(versions)).violations).toEqual([
      { path: "task.container.files[0]", message },
    ]);
  });

  it("resolving again without new content changes nothing (property)", () => {
    const ids = ["v1", "v2", "v3"] as const;
    const files = lookupOf(ids.map((id, index) => version(id, { version: 3 - index })));
    fc.assert(
      fc.property(fc.constantFrom(...ids), fc.constantFrom(...ids, "", "unknown"), (current, requested) => {
        const deployed = specWith(mount({ versionId: current }));
        const again = specWith(mount({ versionId: requested }));
        const { spec } = resolveFileVersions(again, { kind: "keep", current: deployed }, files);
        expect(spec).toEqual(deployed);
      }),
    );
  });
});
