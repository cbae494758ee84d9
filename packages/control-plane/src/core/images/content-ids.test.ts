import { ServiceSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { contentIds, contentNames } from "./content-ids.js";

const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;
const shipped = (digit: string, source: string) => ({
  target: `/${source}`,
  kind: { $case: "shipped" as const, value: { digest: idOf(digit), source } },
});
const spec = ServiceSpec.fromPartial({
  task: {
    container: {
      image: "web:1",
      imageId: idOf("a"),
      mounts: [shipped("b", "./conf"), shipped("b", "./copy"), shipped("c", "./web.conf")],
    },
  },
});

test("the contents of a spec are its image and each archive of its shipped mounts once", () => {
  expect([...contentIds(spec)].sort()).toEqual([idOf("a"), idOf("b"), idOf("c")]);
  expect(contentIds(ServiceSpec.fromPartial({ task: { container: { image: "nginx" } } }))).toEqual([]);
});

test("a content has the name of the image, or the paths of the mounts", () => {
  expect(["a", "b", "d"].map((digit) => contentNames(spec, idOf(digit)))).toEqual([
    ["web:1"],
    ["./conf", "./copy"],
    [],
  ]);
});
