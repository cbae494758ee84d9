import { BerthError } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { keepEtcdLeaderLocal } from "./keep-etcd-leader-local.js";

const logger = pino({ level: "silent" });

test("keepEtcdLeaderLocal checks every 3 s until its term ends, also after etcd did not answer", async () => {
  const clock = new ManualClock();
  const term = new AbortController();
  let checks = 0;
  const moveEtcdLeader = async (): Promise<boolean> => {
    checks += 1;
    if (checks === 2) throw new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "no answer" });
    return checks === 1;
  };
  const running = keepEtcdLeaderLocal({ moveEtcdLeader, clock, logger }, term.signal);
  await clock.advance(2_000);
  expect(checks).toBe(0);
  await clock.advance(8_000);
  expect(checks).toBe(3);
  term.abort();
  await running;
  await clock.advance(10_000);
  expect(checks).toBe(3);
});

test("keepEtcdLeaderLocal fails with an error that is not a BerthError", async () => {
  const clock = new ManualClock();
  const moveEtcdLeader = (): Promise<boolean> => Promise.reject(new TypeError("a bug"));
  const { signal } = new AbortController();
  const failed = expect(keepEtcdLeaderLocal({ moveEtcdLeader, clock, logger }, signal)).rejects.toThrow(
    "a bug",
  );
  await clock.advance(4_000);
  await failed;
});
