import { AssignedRegistryLogin, type RegistryCredentials } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { AssignedLogins } from "./assigned-logins.js";

function login(id: string, change: Partial<RegistryCredentials> = {}): AssignedRegistryLogin {
  const credentials = { server: "ghcr.io", username: "ci", secret: "hunter2", isIdentityToken: false };
  return AssignedRegistryLogin.fromPartial({ id, credentials: { ...credentials, ...change } });
}

const message = (registryLogins: AssignedRegistryLogin[], removedRegistryLoginIds: string[] = []) => ({
  registryLogins,
  removedRegistryLoginIds,
});

describe("AssignedLogins", () => {
  it("replaces a login by its id, and forgets all with a complete set", () => {
    const assigned = new AssignedLogins();
    const isComplete = false;
    assigned.apply(message([login("a"), login("b")]), { isComplete });
    const { logins } = assigned.apply(message([login("a", { secret: "new" })], ["b"]), { isComplete });
    expect(logins).toEqual([login("a", { secret: "new" })]);
    expect(assigned.apply(message([]), { isComplete }).logins).toBeUndefined();
    expect(assigned.apply(message([]), { isComplete: true }).logins).toEqual([]);
  });

  it("ignores invalid logins, and reports why without their secrets", () => {
    const invalid = [login("a", { server: "http://x y" }), AssignedRegistryLogin.fromPartial({ id: "b" })];
    const { logins, problems } = new AssignedLogins().apply(message(invalid), { isComplete: true });
    expect(logins).toEqual([]);
    expect(problems).toHaveLength(2);
    expect(problems.join()).not.toContain("hunter2");
  });
});
