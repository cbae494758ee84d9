import { expect, it } from "vitest";
import { selectPath } from "./ingress-mode.js";

it("selects the kernel path unless it is disabled or the kernel cannot balance", () => {
  expect(selectPath("auto", undefined).kernel).toBe(true);
  expect(selectPath("userspace", undefined)).toEqual({
    kernel: false,
    reason: "forced by --ingress userspace",
  });
  expect(selectPath("kernel", "nft is not installed")).toEqual({
    kernel: false,
    reason: "nft is not installed",
  });
});
