import { managedImageName } from "@berth/proto";
import { expect, test } from "vitest";
import { wantedImage } from "./node-images.js";

const IMAGE_ID = `sha256:${"a".repeat(64)}`;

test("wantedImage() reads the ID in a name that berth gave to an image", () => {
  const name = managedImageName("shop/web:1", IMAGE_ID);
  expect(wantedImage(name)).toEqual({ image: "shop/web (sha256:aaaaaaaaaaaa)", imageId: IMAGE_ID, name });
});

test("wantedImage() refuses other names instead of asking nodes for an image without an ID", () => {
  expect(() => wantedImage("nginx:1")).toThrow("nginx:1 is not an image of the cluster");
});
