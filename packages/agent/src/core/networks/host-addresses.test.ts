import { expect, test } from "vitest";
import { bridgeName } from "./devices.js";
import { hostAddresses } from "./host-addresses.js";

test("hostAddresses returns the addresses of all devices but those of berth's networks", () => {
  const links = [
    { name: "lo", addresses: ["127.0.0.1", "::1", "10.99.0.1"] },
    { name: "eth0", addresses: ["192.0.2.7", "2001:DB8:0:0::7", "fe80::1", "169.254.3.4"] },
    { name: "docker0", addresses: ["172.17.0.1"] },
    { name: "eth0.5", addresses: ["192.0.2.7"] },
    { name: bridgeName(77), addresses: ["10.0.0.1", "10.0.0.9"] },
  ];
  expect(hostAddresses(links)).toEqual(["10.99.0.1", "172.17.0.1", "192.0.2.7", "2001:db8::7"]);
});
