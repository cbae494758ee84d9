import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";

const directory = mkdtempSync(join(tmpdir(), "berth-debug-"));

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test("DEBUG prints no password of a registry", async () => {
  vi.stubEnv("DEBUG", "*");
  const written: string[] = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  const socketPath = join(directory, "docker.sock");
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(request.headers["x-registry-auth"]));
  }).listen(socketPath);
  await once(server, "listening");
  // Loads docker-modem for the first time in this process.
  const { EngineClient } = await import("../../packages/agent/src/engine/dockerode/client.js");
  const secret = Buffer.from(JSON.stringify({ password: "hunter2" })).toString("base64url");
  const answer = await new EngineClient(socketPath).request({
    method: "POST",
    path: "/images/create",
    signal: AbortSignal.timeout(10_000),
    registryAuth: { password: "hunter2" },
  });
  server.close();
  expect(String(answer).replace(/=+$/, "")).toBe(secret);
  expect(written.join("")).not.toMatch(new RegExp(`hunter2|${secret}|Sending:`));
  expect(process.env.DEBUG).toBe("*,-modem");
});
