import { PullPolicy, ResolveImage } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { chooseDigest, type ImageResolution, resolveDigest } from "./image-resolution.js";

const { ALWAYS, CHANGED, NEVER } = ResolveImage;
const OLD = `sha256:${"a".repeat(64)}`;
const NEW = `sha256:${"b".repeat(64)}`;
const WEB_1 = { image: "web:1", imageDigest: OLD, pullPolicy: PullPolicy.MISSING };

describe("chooseDigest", () => {
  test.each([
    { mode: ALWAYS, image: "web:1", choice: { kind: "resolve", fallback: OLD } },
    { mode: ALWAYS, image: "web:2", choice: { kind: "resolve", fallback: "" } },
    { mode: CHANGED, image: "web:1", choice: { kind: "fixed", digest: OLD } },
    { mode: CHANGED, image: "web:2", choice: { kind: "resolve", fallback: "" } },
    { mode: NEVER, image: "web:1", choice: { kind: "fixed", digest: OLD } },
    { mode: NEVER, image: "web:2", choice: { kind: "fixed", digest: "" } },
  ])("with mode $mode decides $choice for $image of a service with web:1", ({ mode, image, choice }) => {
    expect(chooseDigest({ image, pullPolicy: PullPolicy.MISSING }, WEB_1, mode)).toEqual(choice);
  });

  test("resolves the image of a new service unless the mode is never", () => {
    const choiceOf = (mode: ResolveImage) => chooseDigest(WEB_1, undefined, mode);
    const resolve = { kind: "resolve", fallback: "" };
    expect([ALWAYS, CHANGED, NEVER].map(choiceOf)).toEqual([resolve, resolve, { kind: "fixed", digest: "" }]);
  });

  test("resolves no image that has a digest of its own or that is never pulled", () => {
    const fixed = { kind: "fixed", digest: "" };
    expect(chooseDigest({ ...WEB_1, image: `web:1@${NEW}` }, WEB_1, ALWAYS)).toEqual(fixed);
    expect(chooseDigest({ ...WEB_1, pullPolicy: PullPolicy.NEVER }, WEB_1, ALWAYS)).toEqual(fixed);
  });
});

describe("resolveDigest", () => {
  const resolved = (fallback: string, resolution: ImageResolution | undefined) =>
    resolveDigest({ kind: "resolve", fallback }, resolution, { image: "web:1", service: "shop_web" });

  test("takes the digest of the registry, and none for a local image", () => {
    expect(resolved(OLD, { kind: "resolved", digest: NEW })).toEqual({ digest: NEW });
    expect(resolved(OLD, { kind: "local" })).toEqual({ digest: "" });
  });

  test("keeps the digest and warns when the registry cannot be asked", () => {
    expect(resolved(OLD, { kind: "failed", reason: "connection refused" })).toEqual({
      digest: OLD,
      warning:
        "image web:1 could not be resolved to a digest: connection refused; shop_web keeps sha256:aaaaaaaaaaaa",
    });
    expect(resolved("", undefined)).toEqual({
      digest: "",
      warning:
        "image web:1 could not be resolved to a digest: no node that could run it is connected; each node may run a different version",
    });
  });
});
