import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ControlServiceService, JoinKind, UserRole } from "@berth/proto";
import { IdentityDirectory, type IdentityFiles } from "@berth/proto/identity";
import { createRpcClient, joinCluster } from "@berth/proto/rpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { startServerProcess } from "../harness/server-process.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { DockerHost } from "./agent/docker-host.js";
import { IMAGE } from "./agent/specs.js";

const exec = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("../harness/server-process.mjs", import.meta.url));
const SERVER_ADDRESS = "127.0.0.1:7400";
const TTL_MS = 60 * 60_000;

/**
 * Tries to read keys from etcd and files from the server's data directory, and prints what it got. A container has the
 * directory only when a user mounts it, which the default policy denies.
 */
const INTRUDER = `
const { readFileSync } = require("node:fs");
const [dataDir, ...ports] = process.argv.slice(1);
const got = [];
const body = Buffer.from('{"key":"AA==","range_end":"AA=="}');
const get = (protocol, port, path) => new Promise((resolve) => {
  const options = { host: "127.0.0.1", port, path, method: "POST", rejectUnauthorized: false, timeout: 3000 };
  const request = require("node:" + protocol).request(options, (response) => {
    const chunks = [];
    response.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
      if (response.statusCode < 400) got.push(protocol + " " + port + path + " " + Buffer.concat(chunks));
      resolve();
    });
  });
  request.on("error", () => resolve()).on("timeout", () => request.destroy()).end(body);
});
(async () => {
  let refused = 0;
  for (const port of ports) for (const protocol of ["http", "https"])
    for (const path of ["/v3/kv/range", "/v3beta/kv/range", "/v2/keys", "/health", "/metrics", "/version", "/members"]) {
      await get(protocol, port, path);
      refused += 1;
    }
  for (const file of ["identity/etcd/key.pem", "identity/etcd/certificate.pem", "identity/cluster.key", "member/snap/db"])
    try { got.push(readFileSync(dataDir + "/" + file).toString()); } catch { refused += 1; }
  console.log(JSON.stringify({ got, refused }));
})();`;
/** Ports, protocols and paths; and files. */
const ATTEMPTS = 2 * 2 * 7 + 4;

let docker: DockerHost;
let dataDir: string;
let socket: string;
let ports: readonly number[];

beforeAll(async () => {
  docker = await DockerHost.start();
  const directory = temporaryDirectory();
  dataDir = join(directory, "data");
  socket = join(directory, "server.sock");
  mkdirSync(dataDir, { mode: 0o700 });
  const server = ["--data-dir", dataDir, "--socket", socket, "--listen", SERVER_ADDRESS];
  const [program = "", ...args] = docker.host.commandInside([process.execPath, PROGRAM, ...server]);
  // It ends with the lab.
  spawn(program, args, { stdio: "ignore" });
  const claim = join(dataDir, "berth-server.json");
  await eventually("the server has stored a record in etcd", () => existsSync(claim) && existsSync(socket));
  const parsed = JSON.parse(readFileSync(claim, "utf8"));
  ports = [parsed.ports.client, parsed.ports.peer];
});

afterAll(() => docker?.close());

const inHost = async (argv: readonly string[]): Promise<string> => {
  const [program = "", ...args] = docker.host.commandInside(argv);
  return (await exec(program, args)).stdout;
};

describe("etcd-loopback-refused: the etcd of a server that listens on 127.0.0.1", () => {
  const intruder = (directory: string): readonly string[] => [
    ...[process.execPath, "-e", INTRUDER, directory],
    ...ports.map(String),
  ];
  const nothing = { got: [], refused: ATTEMPTS };

  it("answers root with the server's certificate, as a check of this test", async () => {
    const [port] = ports;
    const etcd = (name: string): string => join(dataDir, "identity", "etcd", name);
    const script = `const fs = require("node:fs"), options = { ca: fs.readFileSync(process.argv[1]),
      cert: fs.readFileSync(process.argv[2]), key: fs.readFileSync(process.argv[3]), host: "127.0.0.1",
      port: ${port}, path: "/health" };
      require("node:https").get(options, (response) => { console.log(response.statusCode); process.exit(); });`;
    const files = ["authorities.pem", "certificate.pem", "key.pem"].map(etcd);
    expect(await inHost([process.execPath, "-e", script, ...files])).toBe("200\n");
  });

  it("gives a local user nothing", async () => {
    const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
    expect(JSON.parse(await inHost([...user, ...intruder(dataDir)]))).toEqual(nothing);
  });

  it("gives a container in the network of the host nothing", async () => {
    const binds = ["/usr", "/lib", "/lib64", process.execPath].filter(existsSync);
    const mounts = binds.flatMap((path) => ["-v", `${path}:${path}:ro`]);
    const output = await docker.docker(
      ...["run", "--rm", "--network", "host", ...mounts, "--entrypoint", process.execPath, IMAGE],
      ...intruder(dataDir).slice(1),
    );
    expect(JSON.parse(output)).toEqual(nothing);
  });
});

describe("etcd-refuses-agent-cert: both ports of etcd", () => {
  it("both ports of etcd refuse the certificates of a node, of an administrator and of a server for the API", async () => {
    const directory = temporaryDirectory();
    const server = await startServerProcess(["--data-dir", join(directory, "s1")]);
    const admin = createRpcClient(ControlServiceService, { socket: server.socket });
    const joinAs = async (token: string, name: string): Promise<IdentityFiles> => {
      const identity = await IdentityDirectory.open(join(directory, name));
      const options = { address: server.address, token, hostname: name, directory: identity };
      return (await joinCluster(options, AbortSignal.timeout(60_000))).files;
    };
    const { token } = await eventually("the leader creates a token", () =>
      admin.calls.createJoinToken({
        kind: JoinKind.NODE,
        ttlMs: TTL_MS,
        uses: 1,
        hostname: "",
        requiresApproval: false,
        replaceOthers: false,
        labels: {},
      }),
    );
    const user = { name: "alice", role: UserRole.ADMIN, stacks: "", ttlMs: TTL_MS };
    const { invitation } = await admin.calls.inviteUser(user);
    const own = join(directory, "s1", "identity");
    const certificates = {
      node: await joinAs(token, "host1"),
      administrator: await joinAs(invitation, "alice"),
      server: await load(own),
    };
    const etcd = await load(join(own, "etcd"));
    const claim = JSON.parse(readFileSync(join(directory, "s1", "berth-server.json"), "utf8"));
    for (const port of [claim.ports.client, claim.ports.peer]) {
      expect(await answerOf(port, etcd), `etcd's own certificate on port ${port}`).toMatch(/^HTTP/);
      for (const [name, files] of Object.entries(certificates))
        expect(await answerOf(port, files), `${name} on port ${port}`).toBe("");
    }
    admin.close();
    await server.kill();
  });
});

async function load(path: string): Promise<IdentityFiles> {
  const files = await (await IdentityDirectory.open(path)).load();
  if (files === undefined) throw new Error(`no identity in ${path}`);
  return files;
}

/** Connects with a certificate, without a check of the server, and returns what etcd answers before it disconnects. */
async function answerOf(port: number, { certificate, key }: IdentityFiles): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, cert: certificate, key, rejectUnauthorized: false });
  const chunks: Buffer[] = [];
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {}).on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.write("GET /version HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n");
  await closed;
  return Buffer.concat(chunks).toString();
}
