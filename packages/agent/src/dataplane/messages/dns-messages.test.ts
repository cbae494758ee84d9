import type { DnsConfig } from "@berth/proto";
import { expect, test } from "vitest";
import { formatDnsConfig, parseDnsConfig } from "./dns-messages.js";

function configWith(subnet: string): DnsConfig {
  const network = { id: "n1", name: "shop_default", stack: "shop", subnet, gateway: "10.64.0.1" };
  return { networks: [{ ...network, bridge: "bth1", internal: false }], entries: [], clients: [] };
}

test("a DNS configuration is the same after it is parsed and formatted", () => {
  expect(formatDnsConfig(parseDnsConfig(configWith("10.64.0.0/18")))).toEqual(configWith("10.64.0.0/18"));
});

test.each(["10.64.0.0/99", "999.64.0.0/18", "10.64.0.1/18", "10.64.0.0", ""])(
  "rejects a network whose subnet is %j",
  (subnet) => {
    expect(() => parseDnsConfig(configWith(subnet))).toThrow("is not an IPv4 subnet");
  },
);
