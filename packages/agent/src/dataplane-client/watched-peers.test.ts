import { DnsEntry, IngressEntry } from "@berth/proto";
import { expect, test } from "vitest";
import { networkWith } from "../core/networks/testing.js";
import { watchedPeers } from "./watched-peers.js";

test("watchedPeers returns the other nodes that published ports or DNS names lead to", () => {
  const tables = {
    ingress: [IngressEntry.fromPartial({ endpoints: [{ nodeId: "node9", address: "10.0.0.9" }] })],
    networks: [networkWith()],
    dnsEntries: [
      DnsEntry.fromPartial({ endpoints: [{ nodeId: "node1" }, { nodeId: "node2" }, { nodeId: "gone" }] }),
    ],
  };
  expect([...watchedPeers(tables, "node1")]).toEqual([
    ["node9", "10.0.0.9"],
    ["node2", "10.0.0.2"],
  ]);
});
