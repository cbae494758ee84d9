import { IngressEntry } from "@berth/proto";
import { expect, test } from "vitest";
import { peersIn } from "./ingress-table.js";

const on = (nodeId: string) => ({ taskId: `t-${nodeId}`, nodeId, address: `10.0.0.${nodeId}`, port: 80 });
const entry = IngressEntry.fromPartial({
  key: "tcp//80",
  endpoints: [on("1"), on("2"), on("3")],
});

test("peersIn() names every other node that connections go to", () => {
  const peers = peersIn([entry, { ...entry, endpoints: [on("4")] }], "1");
  expect(Object.fromEntries(peers)).toEqual({ 2: "10.0.0.2", 3: "10.0.0.3", 4: "10.0.0.4" });
});
