import { RegistryLogin } from "@berth/proto";
import { expect, test } from "vitest";
import { ClusterState } from "../../state/cluster-state.js";
import { decideLogins, decideStackLogins } from "./decide-logins.js";

const MAX_LOGINS = 10_000;
const sealer = { seal: () => Buffer.from("sealed"), open: () => "" };

function storeLogin(server: string, state: ClusterState) {
  const credentials = { server, username: "ci", secret: "hunter2", isIdentityToken: false };
  return decideLogins([credentials], { stack: "", state, sealer, nowMs: 1, newId: () => "new" });
}

test("decideLogins replaces a login of a cluster that has the maximum, and refuses a further one", () => {
  const state = new ClusterState();
  for (let index = 0; index < MAX_LOGINS; index += 1) {
    state.logins.put(RegistryLogin.fromPartial({ id: `l${index}`, server: `r${index}.test` }));
  }

  expect(storeLogin("r7.test", state).logins).toMatchObject([{ id: "l7", username: "ci" }]);
  expect(() => storeLogin("other.test", state)).toThrow("would exceed 10000 logins");
});

test("decideStackLogins does not count the logins that the same deployment removes", () => {
  const state = new ClusterState();
  for (let index = 0; index < MAX_LOGINS; index += 1) {
    state.logins.put(RegistryLogin.fromPartial({ id: `l${index}`, server: `r${index}.test`, stack: "shop" }));
  }
  const credentials = { server: "new.test", username: "ci", secret: "hunter2", isIdentityToken: false };
  const context = { stack: "shop", state, sealer, nowMs: 1, newId: () => "new" };
  expect(decideStackLogins([credentials], context)).toHaveLength(MAX_LOGINS + 1);
  expect(() => decideStackLogins([credentials], { ...context, stack: "other" })).toThrow(
    "would exceed 10000",
  );
});
