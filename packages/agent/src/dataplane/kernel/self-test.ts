import { readFile } from "node:fs/promises";
import { type KernelService, servicesByFrontend } from "./kernel-service.js";
import { KernelTable } from "./kernel-table.js";
import { runNft } from "./nft.js";

const FORWARDING = "/proc/sys/net/ipv4/ip_forward";

/** Addresses of RFC 5737, which nobody has. */
const SAMPLES: readonly KernelService[] = [
  {
    frontend: { kind: "port", protocol: "tcp", port: 1 },
    balance: "round-robin",
    endpoints: [
      { id: "a", node: "a", address: "192.0.2.1", port: 1, clientAddress: "masqueraded", localSubnet: "" },
      {
        id: "b",
        node: "b",
        address: "192.0.2.2",
        port: 1,
        clientAddress: "preserved",
        localSubnet: "192.0.2.0/24",
      },
    ],
  },
  {
    frontend: { kind: "bound", protocol: "udp", address: "192.0.2.3", port: 1 },
    balance: "source-hash",
    endpoints: [
      { id: "a", node: "a", address: "192.0.2.1", port: 1, clientAddress: "masqueraded", localSubnet: "" },
    ],
  },
];

/** For nft: a table with everything that a real one may hold. */
export const SELF_TEST_RULESET = new KernelTable().load(servicesByFrontend(SAMPLES));

/**
 * Why the kernel of this host cannot balance connections, for a person; undefined: it can. The kernel is asked to
 * check a whole table and to throw it away.
 */
export async function testKernelSupport(signal: AbortSignal): Promise<string | undefined> {
  const failure = await runNft(SELF_TEST_RULESET, { signal, isTrial: true });
  if (failure !== undefined) return failure.replace(/^.*?Error: /, "nft: ");
  const forwarding = await readFile(FORWARDING, "utf8").catch(() => "");
  if (forwarding.trim() !== "1") return `${FORWARDING} is not 1: this host forwards no packets`;
  return undefined;
}
