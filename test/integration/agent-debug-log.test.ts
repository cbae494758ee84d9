import { execFile } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";

const CLIENT = join(REPO_ROOT, "packages/agent/dist/engine/dockerode/client.js");
const PASSWORD = "hunter2";

/** Sends a request with a login to a Docker socket. Prints the answer, and DEBUG as it is then. */
const SEND_LOGIN = `
const { EngineClient } = await import(${JSON.stringify(CLIENT)});
const answer = await new EngineClient(process.argv[1]).request({
  method: "POST",
  path: "/images/create",
  signal: AbortSignal.timeout(30_000),
  registryAuth: { password: "${PASSWORD}" },
});
console.log(JSON.stringify({ answer, debug: process.env.DEBUG }));`;

const directory = temporaryDirectory();

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("DEBUG prints no password of a registry", async () => {
  const socketPath = join(directory, "docker.sock");
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(request.headers["x-registry-auth"]));
  }).listen(socketPath);
  await once(server, "listening");
  // docker-modem reads DEBUG when a process loads it for the first time.
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", SEND_LOGIN, socketPath],
    { env: { ...process.env, DEBUG: "*" } },
  );
  server.close();
  const secret = Buffer.from(JSON.stringify({ password: PASSWORD })).toString("base64url");
  const { answer, debug } = JSON.parse(stdout);
  expect(String(answer).replace(/=+$/, "")).toBe(secret);
  expect(stderr).not.toMatch(new RegExp(`${PASSWORD}|${secret}|Sending:`));
  expect(debug).toBe("*,-modem");
});
