import type { AssignedFile, ServiceSpec } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildSpec } from "../../core/testing/records.js";
import { FileFeed } from "./file-feed.js";

const MIB = 1024 * 1024;

const specWith = (...ids: readonly string[]): ServiceSpec =>
  buildSpec({ task: { container: { files: ids.map((versionId) => ({ versionId })) } } });

const fileOf = (id: string, bytes = 1): AssignedFile => ({
  id,
  content: Buffer.alloc(bytes),
  isTemplate: false,
});

/** The IDs of an agent that applies the changes. */
function apply(known: Set<string>, feed: FileFeed): void {
  const { files, removedFileIds } = feed.takeChanges();
  for (const { id } of files) {
    expect(known).not.toContain(id);
    known.add(id);
  }
  for (const id of removedFileIds) expect(known.delete(id)).toBe(true);
}

describe("FileFeed", () => {
  it("gives the agent exactly the versions that its tasks name (property)", () => {
    const step = fc.record({
      task: fc.constantFrom("a", "b", "c"),
      ids: fc.uniqueArray(fc.constantFrom("x", "y", "z")),
      isRemoved: fc.boolean(),
      isFlushed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const feed = new FileFeed({ file: (id) => fileOf(id) });
        const known = new Set<string>();
        const tasks = new Map<string, readonly string[]>();
        for (const { task, ids, isRemoved, isFlushed } of steps) {
          if (isRemoved) {
            tasks.delete(task);
            feed.removeTask(task);
          } else if (!tasks.has(task)) {
            tasks.set(task, ids);
            feed.addTask(task, specWith(...ids));
          }
          if (isFlushed) apply(known, feed);
        }
        apply(known, feed);
        expect([...known].sort()).toEqual([...new Set([...tasks.values()].flat())].sort());
        expect(feed.isStale).toBe(false);
      }),
    );
  });

  it("sends contents in several messages when they exceed the limit of one", () => {
    const feed = new FileFeed({ file: (id) => fileOf(id, 7 * MIB) });
    feed.addTask("t", specWith("a", "b", "c"));
    expect(feed.takeChanges().files.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(feed.isStale).toBe(true);
    expect(feed.takeChanges().files.map(({ id }) => id)).toEqual(["c"]);
    expect(feed.isStale).toBe(false);
  });

  it("leaves out a version that cannot be decrypted, and sends the others", () => {
    const feed = new FileFeed({ file: (id) => (id === "a" ? undefined : fileOf(id)) });
    feed.addTask("t", specWith("a", "b"));
    expect(feed.takeChanges().files.map(({ id }) => id)).toEqual(["b"]);
    expect(feed.isStale).toBe(false);
    feed.removeTask("t");
    expect(feed.takeChanges().removedFileIds).toEqual(["b"]);
  });
});
