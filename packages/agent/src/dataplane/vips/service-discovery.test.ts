import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import type { DnsServer } from "../dns/dns-server.js";
import { ServiceDiscovery } from "./service-discovery.js";

it("ends the drain when a socket of the DNS server fails to close", async () => {
  const server: Pick<DnsServer, "drain"> = { drain: async () => Promise.reject(new Error("not running")) };
  const discovery = new ServiceDiscovery(() => server as DnsServer);
  await discovery.drain();
  await setImmediate();
  expect(discovery.isDraining).toBe(false);
});
