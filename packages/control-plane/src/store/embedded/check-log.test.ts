import { BerthError } from "@berth/proto";
import { expect, test } from "vitest";
import { findLogTruncation } from "./check-log.js";

const { signal } = new AbortController();
const UNAVAILABLE = new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "request timed out" });

/** Checks the log of an etcd, and counts the leases that it was asked for. */
async function check(logIndex: bigint, revision: bigint, answersWrites: boolean, wasTruncated = false) {
  let grants = 0;
  const problem = await findLogTruncation(
    {
      maintenance: { position: async () => ({ logIndex, revision }) },
      leases: {
        grant: async (ttlSeconds) => {
          grants += 1;
          if (!answersWrites) throw UNAVAILABLE;
          return { leaseId: "1", ttlSeconds };
        },
        revoke: async () => {},
      },
      dataDir: "/d",
      wasTruncated,
    },
    signal,
  );
  return { problem, grants };
}

test("a log with an entry for each revision is complete, and nothing is written", async () => {
  expect(await check(130n, 131n, false)).toEqual({ problem: undefined, grants: 0 });
});

test("a short log is fine when etcd answers writes, as after the restore of a snapshot", async () => {
  expect(await check(4n, 131n, true)).toEqual({ problem: undefined, grants: 1 });
});

test("a short log of an etcd that answers no writes was truncated", async () => {
  const { problem } = await check(4n, 131n, false);
  expect(problem).toMatch(
    /^the log of etcd in \/d\/member\/wal was truncated, .*\(4 entries, revision 131\)/,
  );
});

test("a truncated log is found until etcd answers writes", async () => {
  expect((await check(140n, 131n, false, true)).problem).toContain("was truncated");
  expect((await check(150n, 131n, true, true)).problem).toBeUndefined();
});
