import { DnsEntry } from "@berth/proto";
import { expect, it } from "vitest";
import { onlyGainEndpoints } from "./endpoint-gain.js";

const endpoint = (taskId: string, address = "10.64.1.2") => ({ taskId, address });

function entry(key: string, taskIds: readonly string[], fields: Partial<DnsEntry> = {}): DnsEntry {
  return DnsEntry.fromPartial({ key, endpoints: taskIds.map((id) => endpoint(id)), ...fields });
}

it.each([
  ["nothing differs", [entry("a", ["t1"])], [entry("a", ["t1"])], false],
  ["an entry with endpoints gets more", [entry("a", ["t2"])], [entry("a", ["t1", "t2", "t3"])], true],
  [
    "one of two entries with endpoints gets more",
    [entry("a", ["t1"]), entry("b", ["t1"])],
    [entry("a", ["t1"]), entry("b", ["t1", "t2"])],
    true,
  ],
  ["an entry gets its first endpoint", [entry("a", [])], [entry("a", ["t1"])], false],
  ["an endpoint is replaced", [entry("a", ["t1"])], [entry("a", ["t2"])], false],
  ["an endpoint is removed", [entry("a", ["t1", "t2"])], [entry("a", ["t1"])], false],
  [
    "an endpoint drains while another one is new",
    [entry("a", ["t1", "t2"])],
    [entry("a", ["t1", "t3"], { draining: entry("a", ["t2"]).endpoints })],
    false,
  ],
  [
    "an endpoint moves",
    [entry("a", ["t1"])],
    [DnsEntry.fromPartial({ key: "a", endpoints: [endpoint("t1", "10.64.1.3")] })],
    false,
  ],
  ["another field differs", [entry("a", ["t1"])], [entry("a", ["t1", "t2"], { vip: "10.64.0.2" })], false],
  ["an entry is new", [entry("a", ["t1"])], [entry("a", ["t1"]), entry("b", ["t1"])], false],
  ["an entry is replaced", [entry("a", ["t1"])], [entry("b", ["t1"])], false],
  ["an entry is removed", [entry("a", ["t1"])], [], false],
])(
  "onlyGainEndpoints() tells additional endpoints from other changes: %s",
  (_what, before, after, expected) => {
    expect(onlyGainEndpoints(before, after)).toBe(expected);
  },
);
