import { AssignedRegistryLogin } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { explainDenial, isRegistryDenial, loginsFor } from "./registry-logins.js";

const SECRET = "hunter2";

function login(server: string, stack = "", username = "ci"): AssignedRegistryLogin {
  const credentials = { server, username, secret: SECRET, isIdentityToken: username === "" };
  return AssignedRegistryLogin.fromPartial({ id: `${server}${stack}`, stack, credentials });
}

describe("loginsFor()", () => {
  const named = login("ghcr.io");
  const shop = login("ghcr.io", "shop");
  const hub = login("docker.io");
  const logins = [hub, named, shop, login("ghcr.io", "blog")];

  it.each([
    ["the login of the stack before the one for all stacks", "ghcr.io/a/b", "shop", [shop, named]],
    ["only the login for all stacks in another stack", "ghcr.io/a/b", "other", [named]],
    ["no login of a stack for a task without one", "ghcr.io/a/b", "", [named]],
    ["the login of Docker Hub for a name without a domain", "nginx:1", "shop", [hub]],
    ["no login of another port", "ghcr.io:443/a/b", "shop", []],
  ])("loginsFor returns %s", (_, image, stack, expected) => {
    expect(loginsFor({ image, stack }, logins)).toEqual(expected);
  });
});

describe("isRegistryDenial()", () => {
  // Messages of Docker 20.10 to 28, of its containerd image store, and of registries.
  it.each([
    'Head "http://10.0.0.1:5000/v2/a/manifests/1": no basic auth credentials',
    'Head "https://ghcr.io/v2/a/manifests/1": unauthorized',
    "unauthorized: authentication required",
    "Get https://registry-1.docker.io/v2/: unauthorized: incorrect username or password",
    "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
    "denied: Your authorization token has expired. Reauthenticate and try again.",
    'Head "https://gitlab.example.com/v2/a/manifests/1": denied: access forbidden',
    "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
    "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://a: 403 Forbidden",
    "pulling from host a failed with status code [manifests 1]: 401 Unauthorized",
  ])("isRegistryDenial recognizes %s", (message) => {
    expect(isRegistryDenial(message)).toBe(true);
  });

  it.each([
    "manifest for ghcr.io/a:1 not found: manifest unknown: manifest unknown",
    "toomanyrequests: You have reached your unauthenticated pull rate limit: unauthorized",
    'Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host',
    'Get "https://host/v2/": x509: certificate signed by unknown authority',
    'Get "https://10.0.0.1:4031/v2/": dial tcp 10.0.0.1:4031: connect: connection refused',
    "open /var/lib/docker/tmp/x: permission denied",
    "no space left on device",
  ])("leaves %s as it is", (message) => {
    expect(isRegistryDenial(message)).toBe(false);
  });
});

describe("explainDenial()", () => {
  it("names the registry and the command when there is no login", () => {
    expect(explainDenial("host:5000/a:1", [], "no basic auth credentials")).toEqual({
      errorCode: "BERTH_REGISTRY_LOGIN_MISSING",
      reason:
        'cannot pull image host:5000/a:1: no login for registry host:5000; run "berth registry login host:5000", or check the image name: no basic auth credentials',
    });
  });

  it("names the refused logins, never their secrets", () => {
    const logins = [login("ghcr.io", "shop", ""), login("ghcr.io")];
    const denial = explainDenial("ghcr.io/a:1", logins, "unauthorized");
    expect(denial).toEqual({
      errorCode: "BERTH_REGISTRY_LOGIN_REFUSED",
      reason:
        'cannot pull image ghcr.io/a:1: registry ghcr.io refused the login of an identity token (stored with stack shop) and ci; deploy again with --with-registry-auth, or run "berth registry login ghcr.io", or check the image name: unauthorized',
    });
    expect(JSON.stringify(denial)).not.toContain(SECRET);
  });
});
