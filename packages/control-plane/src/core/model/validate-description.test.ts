import { DESCRIPTION_LIMITS, NodeDescription, PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { descriptionProblem } from "./validate-description.js";

const KEY = `${"A".repeat(42)}8=`;
const VALID = NodeDescription.fromPartial({
  hostname: "host-1.example.org",
  address: "192.0.2.1",
  os: "linux",
  architecture: "x86_64",
  nanoCpus: 4e9,
  memoryBytes: 8 * 2 ** 30,
  engineVersion: "20.10.24+debian1",
  engineApiVersion: "1.41",
  agentVersion: "0.1.0",
  engineLabels: { zone: "a", "com.example.rack": "rack 7" },
  engineReady: true,
  problems: ["port 80/tcp is taken (nginx, PID 7)"],
  pids: 4_194_304,
  generic: { gpu: 2 },
  listeners: [
    { protocol: PortSpec_Protocol.TCP, address: "", port: 22 },
    { protocol: PortSpec_Protocol.UDP, address: "::1", port: 53 },
  ],
  volumes: ["shop_data"],
  dataPlane: {
    overlay: true,
    overlayMtu: 1_450,
    wireguardPublicKey: KEY,
    subnets: ["192.0.2.0/24"],
    addresses: ["10.0.0.1", "fd00::1"],
  },
});
type Parts = Parameters<typeof NodeDescription.fromPartial>[0];
const problemWith = (parts: Parts): string | undefined =>
  descriptionProblem(
    NodeDescription.fromPartial({
      ...VALID,
      ...parts,
      dataPlane: { ...VALID.dataPlane, ...parts.dataPlane },
    }),
  );
const many = <T>(count: number, item: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => item(index));

test("descriptionProblem accepts a description as an agent sends it, and one with the least fields", () => {
  expect(problemWith({})).toBeUndefined();
  expect(descriptionProblem(NodeDescription.fromPartial({ address: "192.0.2.1" }))).toBeUndefined();
});

test.each<readonly [string, Parts]>([
  ["hostname has characters", { hostname: "a\u001b[2Jb" }],
  ["hostname has characters", { hostname: "a b" }],
  ["address is not an IP address", { address: "" }],
  ["address is not an IP address", { address: "10.0.0.2\n- a second line" }],
  ["address is a link-local address", { address: "169.254.0.1" }],
  ["os has control characters", { os: "linux\n" }],
  ["engine version has control characters", { engineVersion: "x".repeat(DESCRIPTION_LIMITS.text + 1) }],
  ["CPUs is not a whole number", { nanoCpus: -1 }],
  ["memory is not a whole number", { memoryBytes: Number.NaN }],
  ["PID limit is not a whole number", { pids: -5 }],
  ["generic resources has an invalid entry", { generic: { gpu: -2 } }],
  ["generic resources has an invalid entry", { generic: { "a\nb": 2 } }],
  ["labels has an invalid entry", { engineLabels: { zone: "a\u202eb" } }],
  ["labels has 257 entries", { engineLabels: Object.fromEntries(many(257, (index) => [`l${index}`, ""])) }],
  ["problems has an invalid entry (number 2)", { problems: ["full", "\u009b2J"] }],
  ["problems has 65 entries", { problems: many(65, String) }],
  ["listeners has an invalid entry", { listeners: [{ protocol: 9 as PortSpec_Protocol, port: 1 }] }],
  ["listeners has an invalid entry", { listeners: [{ protocol: 1, port: 0 }] }],
  ["listeners has an invalid entry", { listeners: [{ protocol: 1, port: 65_536 }] }],
  ["listeners has an invalid entry", { listeners: [{ protocol: 1, address: "localhost", port: 1 }] }],
  ["listeners has 1001 entries", { listeners: many(1_001, () => ({ protocol: 1, port: 1 })) }],
  ["volumes has an invalid entry", { volumes: ["../etc"] }],
  ["volumes has 1001 entries", { volumes: many(1_001, (index) => `v${index}`) }],
  ["data plane has control characters", { dataPlane: { overlayReason: "a\rb" } }],
  ["overlay MTU is too large", { dataPlane: { overlayMtu: 65_536 } }],
  ["WireGuard key is not a key", { dataPlane: { wireguardPublicKey: `${KEY}\n[Peer]` } }],
  ["subnets has an invalid entry", { dataPlane: { subnets: ["10.0.0.1/8"] } }],
  ["addresses has an invalid entry", { dataPlane: { addresses: ["10.0.0.1", "FD00::1"] } }],
  ["its size of", { volumes: many(1_000, (index) => `${"v".repeat(200)}${index}`) }],
])("descriptionProblem refuses: %s (%#)", (problem, parts) => {
  expect(problemWith(parts)).toContain(problem);
});
