import { expect, test } from "vitest";
import { parseInfo } from "./daemon-info.js";

const daemon = { version: "28.2.2", apiVersion: "1.50" };
const infoOf = (json: object) => parseInfo(json, daemon);

test("parseInfo reads the host's IDs of root in containers, which userns-remap shifts", () => {
  const seccomp = "name=seccomp,profile=builtin";
  const plain = { SecurityOptions: [seccomp], DockerRootDir: "/var/lib/docker" };
  expect(infoOf(plain).containerRoot).toEqual({ uid: 0, gid: 0 });
  const remapped = { SecurityOptions: [seccomp, "name=userns"], DockerRootDir: "/srv/docker/231072.165536" };
  expect(infoOf(remapped).containerRoot).toEqual({ uid: 231_072, gid: 165_536 });
  const alike = { SecurityOptions: [], DockerRootDir: "/srv/docker/1.2" };
  expect(infoOf(alike).containerRoot).toEqual({ uid: 0, gid: 0 });
});

test("parseInfo names an environment in which containers are isolated from the host", () => {
  expect(infoOf({}).isolation).toBe("");
  expect(infoOf({ SecurityOptions: ["name=rootless"] }).isolation).toBe("rootless Docker");
  expect(infoOf({ OperatingSystem: "Docker Desktop" }).isolation).toBe("Docker Desktop");
});
