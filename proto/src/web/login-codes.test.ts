import { expect, test } from "vitest";
import { claimedUser, LOGIN_CODE_TTL_MS, LoginCodes } from "./login-codes.js";

const GRANT = { userName: "alice.x7", isReadOnly: true };
const REFUSED = expect.objectContaining({ code: "BERTH_UNAUTHENTICATED" });

test("a login code works once", () => {
  const codes = new LoginCodes();
  const { code, expiresAtMs } = codes.create(GRANT, 1_000);
  expect(code).toMatch(/^alice\.x7\.[\w-]{43}$/);
  expect(expiresAtMs).toBe(61_000);
  expect(codes.redeem(code, 60_999)).toEqual(GRANT);
  expect(() => codes.redeem(code, 60_999)).toThrow(REFUSED);
});

test("an expired or wrong login code is refused", () => {
  const codes = new LoginCodes();
  const { code } = codes.create(GRANT, 0);
  expect(() => codes.redeem(code.slice(0, -1), 0)).toThrow(REFUSED);
  expect(() => codes.redeem(`${code}${"x".repeat(1_000)}`, 0)).toThrow(REFUSED);
  expect(() => codes.redeem(code, LOGIN_CODE_TTL_MS)).toThrow(REFUSED);
});

test("the oldest code of a user is dropped when there are too many", () => {
  const codes = new LoginCodes();
  const all = Array.from({ length: 17 }, () => codes.create(GRANT, 0).code);
  expect(() => codes.redeem(all[0] ?? "", 0)).toThrow(REFUSED);
  expect(codes.redeem(all[1] ?? "", 0)).toEqual(GRANT);
});

test("claimedUser returns the name in a code", () => {
  expect(claimedUser("alice.x7.secret")).toBe("alice.x7");
  expect(claimedUser("secret")).toBe("");
  expect(claimedUser("x".repeat(1_000))).toBe("");
});
