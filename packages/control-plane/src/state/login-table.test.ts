import { RegistryLogin } from "@berth/proto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { loginKey } from "../core/registries/registry-logins.js";
import { LoginTable } from "./login-table.js";

it("LoginTable finds every login by its key and stack, after any changes (property)", () => {
  const change = fc.record({
    id: fc.constantFrom("a", "b", "c"),
    server: fc.constantFrom("x.io", "y.io"),
    stack: fc.constantFrom("", "shop"),
    size: fc.integer({ min: 1, max: 3 }),
    isPut: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const table = new LoginTable();
      const expected = new Map<string, RegistryLogin>();
      for (const { id, server, stack, size, isPut } of changes) {
        const login = RegistryLogin.fromPartial({ id, server, stack, sealedSecret: Buffer.alloc(size) });
        const owner = [...expected.values()].find((known) => loginKey(known) === loginKey(login));
        // The leader gives a login of the same server and stack the same ID.
        if (isPut && owner !== undefined && owner.id !== id) continue;
        if (isPut) {
          expected.set(id, login);
        } else {
          expected.delete(id);
        }
        if (isPut) {
          table.put(login);
        } else {
          table.delete(id);
        }
      }
      expect(new Set(table.values())).toEqual(new Set(expected.values()));
      for (const login of expected.values()) {
        expect(table.byKey(loginKey(login))).toBe(login);
        expect(table.ofStack(login.stack).get(loginKey(login))).toBe(login);
      }
      expect(table.ofStack("").size + table.ofStack("shop").size).toBe(expected.size);
      const bytes = [...expected.values()].reduce((sum, { sealedSecret }) => sum + sealedSecret.length, 0);
      expect(table.sealedBytes).toBe(bytes);
    }),
  );
});
