import { MAX_STATUS_MESSAGE_LENGTH, type RegistryCredentials } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { EngineCall } from "../engine/engine.js";
import { EngineError } from "../engine/engine-error.js";
import { LoginChecker } from "./login-checker.js";

const { signal } = new AbortController();
const credentials = { server: "ghcr.io", username: "ci", secret: "hunter2", isIdentityToken: false };

type CheckLogin = (credentials: RegistryCredentials, call: EngineCall) => Promise<void>;

const checkerWith = (checkLogin: CheckLogin): LoginChecker => new LoginChecker({ checkLogin }, signal);

describe("LoginChecker", () => {
  test("answers whether Docker could log in, and why not", async () => {
    const accepting = checkerWith(async () => {});
    expect(await accepting.answer({ requestId: "r1", credentials })).toEqual({
      requestId: "r1",
      problem: "",
    });
    const refusing = checkerWith(async () => {
      throw new EngineError("failed", "unauthorized");
    });
    expect((await refusing.answer({ requestId: "r1", credentials })).problem).toBe("unauthorized");
  });

  test("shortens a message that the leader would reject, and never answers with an empty problem", async () => {
    const messages = ["x".repeat(2 * MAX_STATUS_MESSAGE_LENGTH), ""];
    const checker = checkerWith(async () => {
      throw new Error(messages.shift());
    });
    const { problem } = await checker.answer({ requestId: "r1", credentials });
    expect(problem).toHaveLength(MAX_STATUS_MESSAGE_LENGTH);
    expect((await checker.answer({ requestId: "r2", credentials })).problem).not.toBe("");
  });

  test("refuses invalid credentials and too many checks without a request to Docker", async () => {
    let requests = 0;
    const checker = checkerWith(() => {
      requests += 1;
      return new Promise(() => {});
    });
    const invalid = { ...credentials, server: "http://x" };
    expect((await checker.answer({ requestId: "r0", credentials: invalid })).problem).toContain("invalid");
    for (let index = 0; index < 8; index += 1) void checker.answer({ requestId: `r${index}`, credentials });
    expect((await checker.answer({ requestId: "r9", credentials })).problem).toContain("already checking 8");
    expect(requests).toBe(8);
  });
});
