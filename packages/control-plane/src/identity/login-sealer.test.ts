import { RegistryLogin } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { createClusterKey } from "./cluster-key.js";
import { createLoginSealer } from "./login-sealer.js";

const SECRET = "hunter2";
const sealer = createLoginSealer(createClusterKey());

function sealed(change: Partial<RegistryLogin> = {}): RegistryLogin {
  const login = RegistryLogin.fromPartial({
    id: "l1",
    server: "ghcr.io",
    stack: "shop",
    username: "ci",
    ...change,
  });
  return { ...login, sealedSecret: sealer.seal(login, SECRET) };
}

describe("registry-logins: createLoginSealer()", () => {
  it("opens what it sealed, and stores no secret in clear", () => {
    const login = sealed();
    expect(sealer.open(login)).toBe(SECRET);
    expect(JSON.stringify(RegistryLogin.toJSON(login))).not.toContain(SECRET);
    // The time of the last update is not part of what is authenticated.
    expect(sealer.open({ ...login, updatedAtMs: 7 })).toBe(SECRET);
  });

  it.each<Partial<RegistryLogin>>([
    { server: "evil.example.com" },
    { stack: "" },
    { stack: "other" },
    { username: "other" },
    { id: "l2" },
    { isIdentityToken: true },
  ])("does not open a login whose record was changed to %j", (change) => {
    expect(() => sealer.open({ ...sealed(), ...change })).toThrow("cannot decrypt");
  });

  it("does not open a login of another cluster", () => {
    expect(() => createLoginSealer(createClusterKey()).open(sealed())).toThrow("a different cluster key");
  });
});
