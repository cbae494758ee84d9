import { FileKind, FileVersion } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unusedVersions } from "./file-retention.js";

interface Versions {
  readonly count: number;
  readonly removing: boolean;
  readonly inUse: readonly number[];
  readonly kept: readonly number[];
}

function unusedOf({ count, removing, inUse, kept }: Versions): readonly number[] {
  const versions = Array.from({ length: count }, (_, index) =>
    FileVersion.fromPartial({
      ...{ id: `v${count - index}`, kind: FileKind.SECRET, name: "password", version: count - index },
      removing: removing && index === 0,
    }),
  );
  const references = {
    isInUse: ({ version }: FileVersion) => inUse.includes(version),
    isKept: ({ version }: FileVersion) => kept.includes(version),
  };
  return unusedVersions(versions, references).map(({ version }) => version);
}

describe("unusedVersions()", () => {
  it.each([
    ["keeps the newest version without a user", { count: 1, removing: false, inUse: [], kept: [] }, []],
    ["deletes versions that nothing names", { count: 4, removing: false, inUse: [2], kept: [3] }, [1]],
    ["deletes a removed secret, its mark last", { count: 3, removing: true, inUse: [], kept: [] }, [1, 2, 3]],
    ["rollbacks do not keep a removed secret", { count: 2, removing: true, inUse: [], kept: [1, 2] }, [1, 2]],
    ["a task keeps its version of a removed secret", { count: 2, removing: true, inUse: [2], kept: [] }, [1]],
    [
      "the mark stays while an older version is in use",
      { count: 3, removing: true, inUse: [1], kept: [] },
      [2],
    ],
  ] as const)("%s", (_, versions, expected) => {
    expect(unusedOf(versions)).toEqual(expected);
  });

  it("never deletes a version in use, and deletes everything of a removed secret in the end (property)", () => {
    const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 6 }));
    const histories = fc.record({
      count: fc.integer({ min: 1, max: 6 }),
      removing: fc.boolean(),
      inUse: numbers,
      kept: numbers,
    });
    fc.assert(
      fc.property(histories, (versions) => {
        const { count, removing, inUse, kept } = versions;
        const unused = unusedOf(versions);
        for (const version of unused) {
          expect(inUse).not.toContain(version);
          if (!removing) expect(kept).not.toContain(version);
        }
        // A crash between two deletions leaves the mark of the removal.
        expect(unused).toEqual([...unused].sort((a, b) => a - b));
        if (unused.includes(count)) expect(unused).toHaveLength(count);
        if (removing && inUse.every((version) => version > count)) expect(unused).toHaveLength(count);
      }),
    );
  });
});
