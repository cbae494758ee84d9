import { expect, test } from "vitest";
import { hasDigest, imageProblem, imageReference, isImageDigest, managedImageId } from "./image-reference.js";

const HEX = "0123456789abcdef".repeat(4);

test.each([
  "nginx",
  "nginx:1.27",
  "nginx:_1.A-b",
  "library/nginx",
  "docker.io/library/nginx:latest",
  "localhost:5000/a/b",
  "REGISTRY.example.com/a__b/c---d/e.f",
  "[2001:db8::1]:5000/a:1",
  "127.0.0.1:1/nothing:1",
  "registry:1/json",
  `nginx@sha256:${HEX}`,
  `nginx:1@sha512+b64:${HEX}`,
])("imageProblem accepts %s", (image) => {
  expect(imageProblem(image)).toBeUndefined();
});

test.each([
  "../containers/json",
  "./nginx",
  "..",
  ".example/nginx",
  "-example.com/nginx",
  "example-.com/nginx",
  "example..com/nginx",
  "a//b",
  "/nginx",
  "nginx/",
  "a/../b",
  "a/%2e%2e/b",
  "a___b",
  "a._b",
  "nginx?all=1",
  "nginx#x",
  "nginx:1:2",
  "nginx@sha256:short",
  "nginx\n",
  "nginx\u0000",
  HEX,
  `example.com/${"a/".repeat(130)}a`,
  `nginx:${"a".repeat(129)}`,
])("imageProblem rejects %j", (image) => {
  expect(imageProblem(image)).toBeDefined();
});

test("imageProblem takes linear time for a long hostile name", () => {
  for (const image of [
    `${"a-".repeat(255)}!`,
    `${"a.".repeat(255)}!`,
    `${"a_".repeat(255)}`,
    "-".repeat(512),
  ]) {
    const startedMs = performance.now();
    expect(imageProblem(image)).toBeDefined();
    expect(performance.now() - startedMs).toBeLessThan(200);
  }
});

test.each([
  ["nginx", `nginx:latest@sha256:${HEX}`],
  ["nginx:1.27", `nginx:1.27@sha256:${HEX}`],
  ["localhost:5000/a", `localhost:5000/a:latest@sha256:${HEX}`],
  ["localhost:5000/a:1", `localhost:5000/a:1@sha256:${HEX}`],
  [`nginx@sha256:${"0".repeat(64)}`, `nginx@sha256:${"0".repeat(64)}`],
])("imageReference adds the digest to %s", (image, expected) => {
  const reference = imageReference({ image, imageDigest: `sha256:${HEX}`, imageId: "" });
  expect(reference).toBe(expected);
  expect([hasDigest(reference), imageProblem(reference)]).toEqual([true, undefined]);
  expect(imageReference({ image, imageDigest: "", imageId: "" })).toBe(image);
});

test("isImageDigest accepts the digests of registries only", () => {
  expect([`sha256:${HEX}`, `sha512:${HEX}${HEX}`].every(isImageDigest)).toBe(true);
  const others = [
    "",
    HEX,
    "sha256:",
    `sha256:${HEX}0`,
    `sha256:${HEX.toUpperCase()}`,
    `a@sha256:${HEX}`,
    `md5:${HEX}`,
  ];
  expect(others.some(isImageDigest)).toBe(false);
});

test.each([
  ["web", "berth.internal/web"],
  ["web:1", "berth.internal/web"],
  ["team/web:1", "berth.internal/team/web"],
  ["localhost/web", "berth.internal/web"],
  ["registry.example.com:5000/team/web:1", "berth.internal/team/web"],
])("imageReference names %s without a registry after its ID", (image, name) => {
  const reference = imageReference({ image, imageDigest: "", imageId: `sha256:${HEX}` });
  expect(reference).toBe(`${name}:${HEX}`);
  expect(managedImageId(reference)).toBe(`sha256:${HEX}`);
  expect(imageProblem(reference)).toBeUndefined();
});

test.each(["web:1", `web:${HEX}`, "berth.internal/web:1", `berth.internal/web@sha256:${HEX}`])(
  "managedImageId knows no ID of %s",
  (name) => {
    expect(managedImageId(name)).toBeUndefined();
  },
);
