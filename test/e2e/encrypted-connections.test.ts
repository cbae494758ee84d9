import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BERTH_PATH, joinCommand } from "../../deploy/lab/berth-commands.js";
import type { Lab } from "../../deploy/lab/lab.js";
import { labPaths } from "../../deploy/lab/paths.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { Capture } from "../integration/agent/capture.js";
import { createCluster, deploy, waitForReplicas } from "./support/cluster.js";

const SECRET = "a-secret-of-the-environment";
const LOGGED = "a-line-of-the-log";
const TYPED = "an-input-of-exec";
const BUSYBOX = "/usr/bin/busybox";
/** Matches as soon as a connection has no TLS. */
const HTTP2_PREFACE = "PRI * HTTP/2.0";
const TLS_1_3 = 0x0304;

const COMPOSE = `
services:
  web:
    image: hello:1
    environment: { PASSWORD: ${SECRET} }
    command: ["${BUSYBOX}", "sh", "-c", "while :; do echo ${LOGGED}; ${BUSYBOX} sleep 0.2; done"]
    deploy: { replicas: 2 }
`;

let lab: Lab;
let capture: Capture;
const directory = temporaryDirectory();

beforeAll(async () => {
  lab = await createCluster(2, { servers: 2 });
  capture = await Capture.start(["nsenter", `--net=${labPaths(lab.name).lanNetns}`], "any");
});

afterAll(async () => {
  await capture?.close();
  await lab?.down();
  await rm(directory, { recursive: true, force: true });
});

/** Runs the command line, and returns its output. */
async function berth(args: readonly string[], input?: string): Promise<string> {
  const result = await lab.berth(args, input === undefined ? {} : { input });
  expect(result).toMatchObject({ code: 0 });
  return result.stdout.trim();
}

/** Returns the contents of the private keys in the directory of an identity, without their first and last line. */
async function privateKeys(identity: string): Promise<readonly string[]> {
  const names = (await readdir(identity)).filter((name) => /key/.test(name));
  const texts = await Promise.all(names.map((name) => readFile(join(identity, name), "utf8")));
  return texts.flatMap((text) => text.split("\n").filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line)));
}

test("a capture of the network has no token, key or payload of a join, a deployment, exec and logs", async () => {
  const server = lab.serverAddresses[0] ?? "";
  const token = await berth(["token", "create", "-q"]);
  const invitation = await berth(["user", "invite", "alice", "--role", "viewer", "-q"]);
  // Another join of the second host: its agent has joined before the capture.
  const dataDir = join(directory, "agent");
  const joined = await lab
    .host("h2")
    .exec(joinCommand("agent", { berthPath: BERTH_PATH, address: server, dataDir }), { input: token });
  expect(joined).toMatchObject({ code: 0 });
  const configDir = join(directory, "config");
  const created = await lab.berth(["context", "create", "a", "--server", server, "--invitation-file", "-"], {
    input: invitation,
    env: { ...process.env, BERTH_CONFIG: configDir },
  });
  expect(created).toMatchObject({ code: 0 });
  await deploy(lab, "shop", COMPOSE);
  await waitForReplicas(lab, "shop_web", 2);
  for (const slot of [1, 2]) {
    expect(await berth(["exec", "-i", `shop_web.${slot}`, BUSYBOX, "cat"], TYPED)).toBe(TYPED);
  }
  expect(await berth(["service", "logs", "shop_web"])).toContain(LOGGED);

  // Health checks are not encrypted, and show that the capture works. tcpdump may drop packets on a busy machine.
  const isRequestCaptured = async (): Promise<boolean> => {
    await lab.leader();
    return capture.contains("/healthz");
  };
  await waitUntil(isRequestCaptured, { what: "the capture of a request", timeoutMs: 30_000 });
  const keys = await privateKeys(join(dataDir, "identity"));
  expect(keys.length).toBeGreaterThan(0);
  for (const text of [token, invitation, SECRET, LOGGED, TYPED, HTTP2_PREFACE, ...keys])
    expect({ text, isCaptured: await capture.contains(text) }).toEqual({ text, isCaptured: false });
  const versions = await capture.tlsVersions();
  expect(versions.length).toBeGreaterThanOrEqual(4);
  expect(new Set(versions)).toEqual(new Set([TLS_1_3]));
});
