import { expect, test } from "vitest";
import { withListedServers } from "./listed-servers.js";

const A = "10.0.0.1:7400";
const B = "10.0.0.2:7400";
const C = "10.0.0.3:7400";
const NAT = "vpn.example:7400";

test.each<[string, string, string | undefined, readonly string[], string]>([
  ["adds servers that have joined", A, A, [A, B], `${A},${B}`],
  ["forgets a server that was removed", `${A},${B}`, `${A},${B}`, [B, C], `${B},${C}`],
  ["keeps an address of the user that the cluster has never listed", `${NAT},${A}`, A, [B], `${NAT},${B}`],
  ["keeps what a context of an earlier release has", `${A},${B}`, undefined, [B], `${A},${B}`],
  ["changes nothing for an empty list", A, A, [], A],
  ["ignores what is no address", A, A, ["unix:/x", "a b", "", `${B},${C}`], A],
])("withListedServers() %s", (_, server, listed, addresses, expected) => {
  const saved = { server, identity: "x", ...(listed !== undefined && { listed }) };
  expect(withListedServers(saved, addresses).server).toBe(expected);
});

test("withListedServers() never leaves a context without a server, and bounds the list", () => {
  const many = Array.from({ length: 40 }, (_, index) => `10.0.1.${index}:7400`);
  const { server } = withListedServers({ server: A, listed: A, identity: "x" }, many);
  expect(server.split(",")).toHaveLength(16);
});
