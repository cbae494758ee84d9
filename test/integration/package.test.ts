import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BERTH_VERSION } from "@berth/proto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { eventually } from "../harness/eventually.js";
import { temporaryFolder } from "../harness/temporary-folder.js";

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL("../../deploy/package/main.ts", import.meta.url));
/** Bundling and compressing take about 10 s of CPU time. */
const BUILD_TIMEOUT_MS = scaleTimeout(180_000);
const folder = temporaryFolder();
const host = join(folder, "host");
const berth = join(host, "usr/lib/berth", BERTH_VERSION, "berth.js");

/** Builds the package without Node.js, and returns its path. */
async function build(name: string, umask: string): Promise<string> {
  const out = join(folder, name);
  const command = `umask ${umask} && exec "$@"`;
  const args = [process.execPath, "--import", "tsx", BUILD, "--out", out, "all"];
  const { stdout } = await run("sh", ["-c", command, "sh", ...args], { cwd: join(BUILD, "../../..") });
  return stdout.trim();
}

/** Runs a command of the unpacked package, without anything of this checkout. */
async function runBerth(...args: string[]): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: folder };
  const { stdout } = await run(process.execPath, [berth, ...args], { cwd: folder, env });
  return stdout;
}

let file = "";

beforeAll(async () => {
  file = await build("first", "022");
  await run("dpkg-deb", ["--extract", file, host]);
}, BUILD_TIMEOUT_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a package has the same bytes when it is built again", { timeout: BUILD_TIMEOUT_MS }, async () => {
  const again = await build("second", "077");
  const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  expect(hash(again)).toBe(hash(file));
});

test("a packaged command line runs without the dependencies of the checkout", async () => {
  expect(await runBerth("version")).toContain(`Client: ${BERTH_VERSION}`);
  expect(await runBerth("__complete", "stack", "de")).toBe("deploy\n");
  for (const program of ["server", "agent"]) {
    expect(await runBerth(program, "--help")).toContain(`Usage: berth ${program}`);
  }
});

test("a packaged server uses etcd and answers the packaged command line", async () => {
  const socket = join(folder, "server.sock");
  const args = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--socket", socket];
  const command = [process.execPath, berth, "server", ...args, "--data-dir", join(folder, "server")];
  const server = spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: "ignore" });
  try {
    await eventually("the socket of the server", () => existsSync(socket));
    await runBerth("--server", `unix:${socket}`, "token", "create");
    expect(await runBerth("--server", `unix:${socket}`, "token", "ls")).toContain("node");
  } finally {
    const exited = once(server, "exit");
    server.kill("SIGTERM");
    await exited;
  }
});

test("each command has a manual page", async () => {
  const pages = readdirSync(join(host, "usr/share/man/man1"));
  expect(pages).toEqual(
    expect.arrayContaining(["berth.1.gz", "berth-stack-deploy.1.gz", "berth-server.1.gz"]),
  );
  const { stdout } = await run("zcat", [join(host, "usr/share/man/man1/berth-stack-deploy.1.gz")]);
  expect(stdout).toContain("\\-\\-compose\\-file");
  expect(stdout).toContain("$ berth stack deploy \\-c compose.yaml shop");
});

test("the copyright file names each bundled library", () => {
  const copyright = readFileSync(join(host, "usr/share/doc/berth/copyright"), "utf8");
  for (const library of ["@grpc/grpc-js", "dockerode", "etcd3", "pino", "yaml"]) {
    expect(copyright).toMatch(new RegExp(`^Comment: includes ${library} \\d`, "m"));
  }
});
