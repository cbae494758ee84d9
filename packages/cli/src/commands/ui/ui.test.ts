import { UserRole } from "@berth/proto";
import { expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const EXPIRES_MS = 1_764_000_060_000;

const createLogin: FakeControlHandlers["createLogin"] = async ({ readOnly }) => ({
  code: readOnly ? "alice.readonly" : "alice.secret",
  expiresAtMs: EXPIRES_MS,
  urls: ["https://10.0.0.1:7406", "https://10.0.0.2:7406"],
});

test("ui login prints a link for each server", async () => {
  const { code, out, err } = await berth("ui login", { createLogin });
  expect(code).toBe(0);
  expect(out).toBe("https://10.0.0.1:7406/#login=alice.secret\nhttps://10.0.0.2:7406/#login=alice.secret\n");
  expect(err).toBe("The code is valid for one minute, for one login.\n");
  const json = JSON.parse((await berth("ui login --read-only -o json", { createLogin })).out);
  expect(json).toEqual({
    links: ["https://10.0.0.1:7406/#login=alice.readonly", "https://10.0.0.2:7406/#login=alice.readonly"],
    expiresAtMs: EXPIRES_MS,
  });
});

test("ui login fails when no server has a web UI", async () => {
  const withoutPages: FakeControlHandlers["createLogin"] = async () => ({
    code: "a.b",
    expiresAtMs: 1,
    urls: [],
  });
  const { code, err } = await berth("ui login", { createLogin: withoutPages });
  expect(code).toBe(1);
  expect(err).toContain('no server has a web UI; start one with --web, or use "berth ui"');
});

test("ui rejects an invalid port before it connects", async () => {
  const { code, err } = await berth("ui --port http", {
    getCaller: async () => ({ name: "alice", role: UserRole.ADMIN, stacks: "" }),
  });
  expect(code).toBe(2);
  expect(err).toContain('invalid --port "http"; use a number up to 65535');
});
