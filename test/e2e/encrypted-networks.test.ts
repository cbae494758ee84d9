import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../deploy/lab/lab.js";
import { labPaths, machinePaths } from "../../deploy/lab/paths.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { Capture } from "../integration/agent/capture.js";
import { findEncryption } from "../integration/agent/encryption.js";
import { CONVERGE_TIMEOUT_MS, createCluster, deploy, readyNodes } from "./support/cluster.js";

const encryption = await findEncryption();
const isThere = encryption.kind === "kernel";
const why = encryption.kind === "missing" ? encryption.reason : "the kernel has no wireguard";
/** Reply of `api`. No other traffic to its host contains this text. */
const SECRET = "hello from";
/** tcpdump filter for unencrypted traffic of the network, inside a VXLAN tunnel or outside. */
const PLAIN = "udp port 4789 or net 10.200.0.0/16";

const SHOP = `
services:
  web:
    image: hello:1
    networks: [back]
    stop_grace_period: 1s
    deploy: { placement: { constraints: [node.hostname == h1] } }
  api:
    image: hello:1
    networks: [back]
    stop_grace_period: 1s
    deploy: { placement: { constraints: [node.hostname == h2] } }
networks:
  back:
    driver_opts: { encrypted: "true" }
    ipam: { config: [{ subnet: 10.200.0.0/16 }] }
`;

describe.skipIf(!isThere)(`an encrypted network of a stack${isThere ? "" : ` (${why})`}`, () => {
  let lab: Lab;
  let cable: Capture;

  beforeAll(async () => {
    lab = await createCluster(2);
    await waitUntil(canEncrypt, { what: "encryption support on both hosts", timeoutMs: CONVERGE_TIMEOUT_MS });
    cable = await Capture.start(["nsenter", `--net=${labPaths(lab.name).lanNetns}`], "h2");
  });
  afterAll(async () => {
    await cable?.close();
    await lab?.down();
  });

  async function canEncrypt(): Promise<boolean> {
    const { stdout } = await lab.berth(["node", "inspect", "h1", "h2"]);
    const nodes = JSON.parse(stdout) as readonly {
      readonly dataPlane: { readonly wireguardPublicKey: string };
    }[];
    return nodes.every(({ dataPlane }) => dataPlane?.wireguardPublicKey);
  }

  const busybox = async (...command: string[]): Promise<string> =>
    (await lab.berth(["exec", "shop_web", "/usr/bin/busybox", ...command])).stdout;

  /** Waits until `web` gets a reply from `api` by its name. */
  async function waitForReply(): Promise<void> {
    const answer = async (): Promise<boolean> => {
      const [, address] = /^Address: (\S+)$/m.exec(await busybox("nslookup", "api")) ?? [];
      if (address === undefined) return false;
      return (await busybox("wget", "-q", "-O", "-", `http://${address}/`)).includes(SECRET);
    };
    await waitUntil(answer, { what: "a reply from api", timeoutMs: CONVERGE_TIMEOUT_MS });
  }

  test("services reach each other across hosts without plain text on the cable", async () => {
    const { code, stdout, stderr } = await deploy(lab, "shop", SHOP);
    expect(code, stdout + stderr).toBe(0);
    await waitForReply();
    expect(await cable.contains(SECRET)).toBe(false);
    expect(await cable.count(PLAIN)).toBe(0);
    expect(await cable.count("udp port 7403")).toBeGreaterThan(0);
  });

  test("a restarted agent keeps the existing WireGuard device", async () => {
    const device = async (): Promise<string> =>
      (await lab.host("h2").exec(["ip", "-o", "link", "show", "berthwg"])).stdout;
    const before = await device();
    expect(before).toContain("berthwg");
    await lab.host("h2").killProcess("agent");
    await lab.host("h2").startAgent();
    await waitForReply();
    expect(await device()).toBe(before);
  });

  test("services reach a host again that lost its disk and got a new key", async () => {
    const h2 = lab.host("h2");
    const keyOf = async (): Promise<string> =>
      (await h2.exec(["wg", "show", "berthwg", "public-key"])).stdout;
    const before = await keyOf();
    await h2.kill();
    const { dataDir } = machinePaths(lab.name, "h2");
    await rm(join(dataDir, "berth"), { recursive: true });
    await h2.start();
    await waitUntil(async () => (await readyNodes(lab)).includes("h2"), {
      what: "h2 to be ready",
      timeoutMs: CONVERGE_TIMEOUT_MS,
    });
    await waitForReply();
    expect(await keyOf()).not.toBe(before);
    expect(await cable.count(PLAIN)).toBe(0);
  });
});
