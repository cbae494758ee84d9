import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DnsServer } from "../../packages/agent/src/dataplane/dns/dns-server.js";
import type { DnsTable } from "../../packages/agent/src/dataplane/dns/dns-table.js";
import { Forwarder } from "../../packages/agent/src/dataplane/dns/forwarder.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";

const SOURCE = fileURLToPath(new URL("./musl/resolve.c", import.meta.url));
/** Loopback addresses that no other run of this file uses: resolvers always ask port 53. */
const [high, low] = [(process.pid >> 8) & 0xff, process.pid & 0xff];
const GATEWAY = `127.55.${high}.${low}`;
const UPSTREAM = `127.56.${high}.${low}`;
const PORT = 53;
const VIP = "10.64.0.2";
const MANY = 40;

const service = (name: string, vip: string, count: number): DnsTable["services"][number] => ({
  key: `n1/${name}`,
  networkId: "n1",
  service: `shop_${name}`,
  stack: "shop",
  names: [name],
  vip,
  endpoints: Array.from({ length: count }, (_, at) => ({
    id: `t${at}`,
    nodeId: "h",
    address: `10.64.8.${at + 2}`,
    slot: at + 1,
  })),
  draining: [],
});
const TABLE: DnsTable = {
  networks: [
    { id: "n1", name: "shop_default", stack: "shop", subnet: "10.64.0.0/18", gateway: GATEWAY, bridge: "b" },
  ],
  services: [service("api", VIP, 2), service("many", "", MANY), service("idle", "", 0)],
  clients: [],
};

/** C libraries, each with its own resolver in the programs that are compiled with it. */
const LIBRARIES = [
  { name: "musl", compile: ["musl-gcc", "-static"] },
  { name: "glibc", compile: ["gcc"] },
] as const;
const isRoot = process.getuid?.() === 0;
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;

describe.each(LIBRARIES)(
  "the DNS server, asked by a program with $name",
  ({ compile: [compiler, ...options] }) => {
    const canRun = isRoot && has(compiler) && has("unshare");
    let directory: string;
    let server: DnsServer;
    let isUpstreamUp = true;
    const upstream = createSocket("udp4");

    beforeAll(async () => {
      if (!canRun) return;
      directory = temporaryDirectory();
      execFileSync(compiler, ["-O1", ...options, "-o", join(directory, "resolve"), SOURCE]);
      await new Promise<void>((resolve) => upstream.bind(PORT, UPSTREAM, resolve));
      // Answers NXDOMAIN to every query.
      upstream.on("message", (bytes, { address, port }) => {
        const reply = Buffer.from(bytes);
        reply.writeUInt16BE(0x81_83, 2);
        if (isUpstreamUp) upstream.send(reply, port, address);
      });
      server = new DnsServer({
        forwarder: new Forwarder({ random: Math.random, now: () => performance.now(), port: PORT }),
        hostResolvers: async () => [UPSTREAM],
        random: Math.random,
        isVipActive: () => true,
        port: PORT,
        onProblem: ({ address, code }) => {
          throw new Error(`cannot answer at ${address}: ${code}`);
        },
      });
      await server.update(TABLE);
    });
    afterAll(async () => {
      upstream.close();
      if (!canRun) return;
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    });

    /**
     * Returns the result of `getaddrinfo` for each name, without its duration. `NAME:4` and `NAME:6` ask for one
     * family.
     */
    async function resolve(names: readonly string[], resolverOptions = ""): Promise<readonly string[]> {
      const config = join(directory, "resolv.conf");
      writeFileSync(config, `nameserver ${GATEWAY}\n${resolverOptions}\n`);
      const script = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"';
      const program = [join(directory, "resolve"), ...names];
      const { stdout } = await promisify(execFile)("unshare", [
        "-m",
        "sh",
        "-ec",
        script,
        "sh",
        config,
        ...program,
      ]);
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.replace(/ \d+\.\d /, " "));
    }

    it.runIf(canRun)("answers with the IPv4 address of a service and without an IPv6 address", async () => {
      expect(await resolve(["api", "api:4", "api.shop", "API.shop_default.", "2.api"])).toEqual([
        `api any ${VIP}`,
        `api 4 ${VIP}`,
        `api.shop any ${VIP}`,
        `API.shop_default. any ${VIP}`,
        "2.api any 10.64.8.3",
      ]);
      for (const line of await resolve(["api:6", "nosuch", "nosuch.example", "idle"])) {
        expect(line).toMatch(/error: -(2|5) /);
      }
    });

    it.runIf(canRun)("resolves a service behind any search domains", async () => {
      for (const options of ["options ndots:5", "search example.com shop.internal\noptions ndots:5"]) {
        expect(await resolve(["api", "api.shop", "tasks.api.shop:4"], options)).toEqual([
          `api any ${VIP}`,
          `api.shop any ${VIP}`,
          expect.stringMatching(/^tasks\.api\.shop 4 10\.64\.8\.[23] 10\.64\.8\.[23]$/),
        ]);
      }
    });

    it.runIf(canRun)("answers with more task addresses than fit into a datagram", async () => {
      const [line = ""] = await resolve(["tasks.many:4"]);
      const addresses = line.split(" ").slice(2);
      expect(addresses.length).toBeGreaterThan(15);
      for (const address of addresses) expect(address).toMatch(/^10\.64\.8\.\d+$/);
    });

    it.runIf(canRun)(
      "resolves services and denies unknown names while the upstream server is down",
      async () => {
        isUpstreamUp = false;
        expect(await resolve(["api", "nosuch"])).toEqual([
          `api any ${VIP}`,
          expect.stringMatching(/^nosuch any error: -2 /),
        ]);
        isUpstreamUp = true;
      },
    );
  },
);
