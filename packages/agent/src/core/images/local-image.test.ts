import { expect, test } from "vitest";
import { isLocalImage } from "./local-image.js";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

test.each([
  { image: "nginx:1.27", repoDigest: "nginx" },
  { image: "docker.io/library/nginx", repoDigest: "nginx" },
  { image: "library/nginx:1", repoDigest: "docker.io/library/nginx" },
  { image: "docker.io/team/app:1", repoDigest: "team/app" },
  { image: "localhost:5000/team/app", repoDigest: "localhost:5000/team/app" },
])("isLocalImage returns false for $image with a digest of $repoDigest", ({ image, repoDigest }) => {
  expect(isLocalImage(image, ["other@sha256:0", `${repoDigest}@${DIGEST}`])).toBe(false);
});

test.each([
  { image: "app:1", repoDigests: [] },
  { image: "app:1", repoDigests: [`registry.example.com/app@${DIGEST}`] },
  { image: "localhost:5000/app", repoDigests: [`localhost:5001/app@${DIGEST}`] },
  { image: "app/library/x", repoDigests: [`app/x@${DIGEST}`] },
])("isLocalImage returns true for $image with the digests $repoDigests", ({ image, repoDigests }) => {
  expect(isLocalImage(image, repoDigests)).toBe(true);
});
