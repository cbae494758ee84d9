import { describe, expect, it } from "vitest";
import { buildService, buildSpec } from "../testing/records.js";
import { rollbackTarget } from "./rollback.js";

const spec = (image: string) => buildSpec({ task: { container: { image } } });
const kept = new Map([1, 2, 3, 4, 5].map((version) => [version, spec(`web:${version % 4}`)]));
/** Version 5 says what version 1 said; 1, 2 and 5 ran well. */
const service = buildService({
  spec: spec("web:1"),
  version: 5,
  healthyVersion: 5,
  earlierHealthyVersions: [2, 1],
});

describe("rollbackTarget", () => {
  it("rollbackTarget is the newest healthy version with a different spec", () => {
    expect(rollbackTarget(service, 0, kept)).toMatchObject({ kind: "found", version: 2 });
    const failing = buildService({
      spec: spec("web:9"),
      version: 6,
      healthyVersion: 5,
      earlierHealthyVersions: [2],
    });
    expect(rollbackTarget(failing, 0, kept)).toMatchObject({ kind: "found", version: 5 });
  });

  it("rollbackTarget is the requested version, whether it was healthy or not", () => {
    expect(rollbackTarget(service, 3, kept)).toMatchObject({
      kind: "found",
      version: 3,
      spec: spec("web:3"),
    });
  });

  it("rollbackTarget says why there is no version to return to", () => {
    expect(rollbackTarget(service, 9, kept)).toEqual({
      kind: "none",
      reason: "version 9 is not stored: it was deleted or never existed",
    });
    const alone = { ...service, earlierHealthyVersions: [1, 7] };
    expect(rollbackTarget(alone, 0, kept)).toMatchObject({ kind: "none" });
  });
});
