import { expect, test } from "vitest";
import { classifyFault, explainFault } from "./etcd-fault.js";

// The last lines of etcd 3.4.23 with each fault, as `logEtcdLine` returns them.
test.each([
  ["disk-full", "failed to commit tx; write /d/member/snap/db: no space left on device"],
  ["disk-full", "failed to create WAL; write /d/member/wal/0.tmp: disk quota exceeded"],
  ["read-only", "discovery failed: cannot access data directory: open /d/.touch: read-only file system"],
  ["disk-error", "failed to commit tx: sync /d/member/snap/db: input/output error"],
  ["no-permission", "discovery failed: cannot access data directory: open /d/.touch: permission denied"],
  [
    "log-truncated",
    "tocommit(135) is out of range [lastIndex(67)]. Was the raft log corrupted, truncated, or lost?",
  ],
  ["damaged", "discovery failed: walpb: crc mismatch"],
  ["damaged", "discovery failed: proto: wrong wireType = 0 for field Data"],
  ["damaged", "panic: cannot use none as id"],
  ["damaged", "fatal error: fault"],
  ["damaged", "failed to open database: invalid database; panic: failed to open database"],
  ["damaged", "failed to recover v3 backend from snapshot: failed to find database snapshot file"],
  ["unknown", "listen tcp 127.0.0.1:1: bind: address already in use"],
] as const)("classifies %s: %s", (fault, logLines) => {
  expect(classifyFault(logLines)).toBe(fault);
});

test("says which directory is affected, what to do, and what etcd logged", () => {
  const full = explainFault({ dataDir: "/d", logLines: "no space left on device", copies: "none" });
  expect(full).toMatch(
    /^the disk of \/d is full; free some space; .* automatically \(no space left on device\)$/,
  );
});

test("names the source from which lost data is restored", () => {
  const explain = (copies: "none" | "rejoin" | "join-with-token"): string =>
    explainFault({ dataDir: "/d", logLines: "walpb: crc mismatch", copies });
  expect(explain("none")).toContain("restore a backup");
  expect(explain("rejoin")).toContain("move /d/member away and start this server");
  expect(explain("join-with-token")).toContain("berth server join with a new token");
});
