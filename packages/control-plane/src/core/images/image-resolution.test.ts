import { PullPolicy, ResolveImage } from "@berth/proto";
import { describe, expect, test } from "vitest";
import {
  chooseContent,
  chooseNodeImage,
  type ImageContent,
  type ImageResolution,
  resolveContent,
} from "./image-resolution.js";

const { ALWAYS, CHANGED, NEVER } = ResolveImage;
const OLD = `sha256:${"a".repeat(64)}`;
const NEW = `sha256:${"b".repeat(64)}`;
const WEB_1 = { image: "web:1", imageDigest: OLD, imageId: "", pullPolicy: PullPolicy.MISSING };
const TAG = { imageDigest: "", imageId: "" };
const digest = (imageDigest: string) => ({ imageDigest, imageId: "" });

describe("chooseContent", () => {
  test.each([
    { mode: ALWAYS, image: "web:1", choice: { kind: "resolve", fallback: digest(OLD) } },
    { mode: ALWAYS, image: "web:2", choice: { kind: "resolve", fallback: TAG } },
    { mode: CHANGED, image: "web:1", choice: { kind: "fixed", content: digest(OLD) } },
    { mode: CHANGED, image: "web:2", choice: { kind: "resolve", fallback: TAG } },
    { mode: NEVER, image: "web:1", choice: { kind: "fixed", content: digest(OLD) } },
    { mode: NEVER, image: "web:2", choice: { kind: "fixed", content: TAG } },
  ])(
    "chooseContent with mode $mode decides $choice for $image of a service with web:1",
    ({ mode, image, choice }) => {
      expect(chooseContent({ image, pullPolicy: PullPolicy.MISSING }, WEB_1, mode)).toEqual(choice);
    },
  );

  test("resolves the image of a new service unless the mode is never", () => {
    const choiceOf = (mode: ResolveImage) => chooseContent(WEB_1, undefined, mode);
    const resolve = { kind: "resolve", fallback: TAG };
    expect([ALWAYS, CHANGED, NEVER].map(choiceOf)).toEqual([
      resolve,
      resolve,
      { kind: "fixed", content: TAG },
    ]);
  });

  test("resolves no image that has a digest of its own or that is never pulled", () => {
    const fixed = { kind: "fixed", content: TAG };
    expect(chooseContent({ ...WEB_1, image: `web:1@${NEW}` }, WEB_1, ALWAYS)).toEqual(fixed);
    expect(chooseContent({ ...WEB_1, pullPolicy: PullPolicy.NEVER }, WEB_1, ALWAYS)).toEqual(fixed);
  });
});

describe("resolveContent", () => {
  const resolved = (fallback: string, resolution: ImageResolution | undefined) =>
    resolveContent({ kind: "resolve", fallback: digest(fallback) }, resolution, {
      image: "web:1",
      service: "shop_web",
    });

  test("takes the digest of the registry, and none for a local image of a new service", () => {
    expect(resolved(OLD, { kind: "resolved", digest: NEW })).toEqual({ content: digest(NEW) });
    expect(resolved("", { kind: "local" })).toEqual({ content: TAG });
  });

  test("keeps the content of the service before it takes the image of a node, and warns if that is another one", () => {
    const imageId = (id: string) => ({ imageDigest: "", imageId: id });
    const decide = (fallback: ImageContent, imageIds: readonly string[], sharedImageId?: string) =>
      resolveContent(
        { kind: "resolve", fallback },
        { kind: "on-nodes", imageIds, sharedImageId },
        { image: "web:1", service: "shop_web" },
      );
    const warning =
      "shop_web keeps sha256:aaaaaaaaaaaa of image web:1, but nodes have a different image with this tag; use a new tag, or deploy from a machine whose Docker daemon has the image";
    expect(decide(TAG, [NEW], NEW)).toEqual({ content: imageId(NEW) });
    expect(decide(TAG, [OLD, NEW])).toEqual({ content: TAG });
    expect(decide(imageId(OLD), [OLD], OLD)).toEqual({ content: imageId(OLD) });
    expect(decide(imageId(OLD), [], undefined)).toEqual({ content: imageId(OLD) });
    expect(decide(imageId(OLD), [NEW], NEW)).toEqual({ content: imageId(OLD), warning });
    expect(decide(digest(OLD), [NEW, NEW])).toEqual({ content: digest(OLD), warning });
  });

  test("keeps the digest and warns when the registry cannot be asked", () => {
    expect(resolved(OLD, { kind: "failed", reason: "connection refused" })).toEqual({
      content: digest(OLD),
      warning:
        "image web:1 could not be resolved to a digest: connection refused; shop_web keeps sha256:aaaaaaaaaaaa",
    });
    expect(resolved("", undefined)).toEqual({
      content: TAG,
      warning:
        "image web:1 could not be resolved to a digest: no node that could run it is connected; each node may run a different version",
    });
  });
});

test("resolveContent takes the image that the client has pushed, whatever the mode", () => {
  const content = { imageDigest: "", imageId: NEW };
  const context = { image: "web:1", service: "shop_web" };
  for (const choice of [
    { kind: "resolve", fallback: digest(OLD) },
    { kind: "fixed", content: digest(OLD) },
  ] as const) {
    expect(resolveContent(choice, { kind: "pushed", imageId: NEW }, context)).toEqual({ content });
  }
});

test.each([
  { imageIds: [], nodes: 3, chosen: undefined },
  { imageIds: [OLD], nodes: 3, chosen: OLD },
  { imageIds: [OLD, OLD], nodes: 3, chosen: OLD },
  { imageIds: [OLD, NEW], nodes: 3, chosen: undefined },
  { imageIds: [OLD, OLD, OLD], nodes: 3, chosen: undefined },
])("chooseNodeImage returns $chosen when $nodes nodes have $imageIds", ({ imageIds, nodes, chosen }) => {
  expect(chooseNodeImage({ imageIds, nodes })).toBe(chosen);
});
