import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { imageProblem } from "./image-reference.js";
import {
  credentialProblems,
  MAX_REGISTRY_SECRET_BYTES,
  parseRegistryServer,
  registryAddress,
  registryOf,
} from "./registry.js";

describe("registryOf()", () => {
  it.each([
    ["nginx", "docker.io"],
    ["nginx:1.27", "docker.io"],
    ["library/nginx", "docker.io"],
    ["team/app@sha256:0123", "docker.io"],
    ["docker.io/team/app", "docker.io"],
    ["index.docker.io/team/app", "docker.io"],
    ["ghcr.io/team/app:1", "ghcr.io"],
    ["localhost/app", "localhost"],
    ["registry:5000/app:1", "registry:5000"],
    ["[::1]:5000/app", "[::1]:5000"],
    ["Registry/app", "registry"],
  ])("%s is in %s", (image, server) => {
    expect(registryOf(image)).toBe(server);
  });

  it("returns a server that can have a login, for every image (property)", () => {
    const image = fc
      .stringMatching(/^[a-zA-Z0-9.:[\]/-]{1,40}$/)
      .filter((text) => imageProblem(text) === undefined);
    fc.assert(fc.property(image, (text) => parseRegistryServer(registryOf(text)) === registryOf(text)));
  });
});

describe("parseRegistryServer()", () => {
  it.each([
    ["https://index.docker.io/v1/", "docker.io"],
    ["docker.io", "docker.io"],
    [" GHCR.io ", "ghcr.io"],
    ["http://registry:5000/v2/", "registry:5000"],
    ["[fd00::1]:5000", "[fd00::1]:5000"],
    ["", undefined],
    ["host:port", undefined],
    ["ftp://host", undefined],
    ["user@host", undefined],
    ["a b", undefined],
    [`${"a".repeat(300)}.io`, undefined],
  ])("reads %j as %s", (text, server) => {
    expect(parseRegistryServer(text)).toBe(server);
  });
});

it("registryAddress() returns what Docker calls the registry", () => {
  expect([registryAddress("docker.io"), registryAddress("ghcr.io")]).toEqual([
    "https://index.docker.io/v1/",
    "ghcr.io",
  ]);
});

describe("credentialProblems()", () => {
  const valid = { server: "ghcr.io", username: "ci", secret: "hunter2", isIdentityToken: false };

  it("accepts a password with several lines, and an identity token without a username", () => {
    expect(credentialProblems({ ...valid, secret: '{\n"type": "service_account"\n}' })).toEqual([]);
    expect(credentialProblems({ ...valid, username: "", isIdentityToken: true })).toEqual([]);
  });

  it("reports all problems, and never the password", () => {
    const problems = credentialProblems({
      ...{ server: "https://ghcr.io", username: "a:b", isIdentityToken: false },
      secret: "hunter2".repeat(MAX_REGISTRY_SECRET_BYTES),
    });
    expect(problems).toHaveLength(3);
    expect(problems.join()).not.toContain("hunter2");
    expect(credentialProblems({ ...valid, username: "", secret: "" })).toEqual([
      "the username is empty",
      "the password is empty",
    ]);
    expect(credentialProblems({ ...valid, secret: "a\0b" })).toEqual([
      "the password contains a NUL character",
    ]);
  });
});
