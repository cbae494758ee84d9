import { BerthError } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { keepEtcdLeaderLocal } from "./move-etcd-leader.js";

const logger = pino({ level: "silent" });

test("keepStoreHome() looks again and again, whatever came of it, until its term is over", async () => {
  const clock = new ManualClock();
  const over = new AbortController();
  let looks = 0;
  const bringHome = async (): Promise<boolean> => {
    looks += 1;
    if (looks === 2) throw new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: "no answer" });
    return looks === 1;
  };
  const keeping = keepEtcdLeaderLocal({ moveEtcdLeader: bringHome, clock, logger }, over.signal);
  await clock.advance(2_000);
  expect(looks).toBe(0);
  await clock.advance(8_000);
  expect(looks).toBe(3);
  over.abort();
  await keeping;
  await clock.advance(10_000);
  expect(looks).toBe(3);
});

test("keepStoreHome() fails with what it does not know", async () => {
  const clock = new ManualClock();
  const bringHome = (): Promise<boolean> => Promise.reject(new TypeError("a mistake"));
  const keeping = keepEtcdLeaderLocal(
    { moveEtcdLeader: bringHome, clock, logger },
    new AbortController().signal,
  );
  const failed = expect(keeping).rejects.toThrow("a mistake");
  await clock.advance(4_000);
  await failed;
});
