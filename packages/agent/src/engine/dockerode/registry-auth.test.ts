import { expect, test } from "vitest";
import { authConfig } from "./registry-auth.js";

test("authConfig() has Docker's names, and its address of Docker Hub", () => {
  const credentials = { server: "docker.io", username: "ci", secret: "hunter2", isIdentityToken: false };
  expect(authConfig(credentials)).toEqual({
    username: "ci",
    password: "hunter2",
    serveraddress: "https://index.docker.io/v1/",
  });
  expect(authConfig({ ...credentials, server: "host:5000", isIdentityToken: true })).toEqual({
    identitytoken: "hunter2",
    serveraddress: "host:5000",
  });
});
