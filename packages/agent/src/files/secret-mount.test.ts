import { expect, test } from "vitest";
import { swapProblem } from "./secret-mount.js";

const mountPoint = "/run/berth/secrets";
const mountOf = (options: string, path = mountPoint): string =>
  `137 27 0:48 / ${path} rw,nosuid,nodev,noexec,relatime - tmpfs berth-secrets ${options}\n`;
const HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
const SWAPS = `${HEADING}/dev/sda2  partition  1048572  0  -2\n`;

test("secrets may reach a swap device unless the mount has noswap", () => {
  const plain = mountOf("rw,size=1024k,mode=700");
  expect(swapProblem({ mounts: plain, swaps: SWAPS, mountPoint })).toContain("swap device");
  expect(swapProblem({ mounts: plain, swaps: HEADING, mountPoint })).toBe("");
  const protectedMount = mountOf("rw,size=1024k,mode=700,noswap");
  expect(swapProblem({ mounts: protectedMount, swaps: SWAPS, mountPoint })).toBe("");
});

test("the mount that counts is the last one at its path", () => {
  const mounts = `${mountOf("rw,noswap", "/other")}${mountOf("rw,noswap")}${mountOf("rw")}`;
  expect(swapProblem({ mounts, swaps: SWAPS, mountPoint })).not.toBe("");
});
