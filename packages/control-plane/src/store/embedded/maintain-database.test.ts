import { pino } from "pino";
import { expect, test } from "vitest";
import { systemClock } from "../../runtime/clock.js";
import type { DatabaseStatus } from "../etcd/etcd-maintenance.js";
import { DatabaseMaintenance, planDatabaseStep } from "./maintain-database.js";

const MIB = 1024 ** 2;
const QUOTA = { quotaBytes: 100 * MIB };
const status = (fileMib: number, usedMib: number, hasSpaceAlarm = false): DatabaseStatus => ({
  fileBytes: fileMib * MIB,
  usedBytes: usedMib * MIB,
  hasSpaceAlarm,
});

test("leaves a database alone that is far from its quota, however sparse it is", () => {
  const step = planDatabaseStep(status(79, 1), { ...QUOTA, isDefragmented: false });
  expect(step).toEqual({ kind: "none", problem: undefined, isFull: false });
});

test("defragments a large database of which less than half is in use, before etcd refuses writes", () => {
  expect(planDatabaseStep(status(80, 39), { ...QUOTA, isDefragmented: false })).toEqual({
    kind: "defragment",
  });
});

test("reports a large database that defragmentation does not shrink", () => {
  expect(planDatabaseStep(status(80, 79), { ...QUOTA, isDefragmented: false })).toMatchObject({
    kind: "none",
    isFull: false,
    problem: expect.stringMatching(/takes 80 of 100 MiB.*--etcd-quota$/),
  });
});

test("defragments once while the alarm is raised, and disarms it when there is space", () => {
  const full = status(100, 90, true);
  expect(planDatabaseStep(full, { ...QUOTA, isDefragmented: false })).toEqual({ kind: "defragment" });
  expect(planDatabaseStep(status(94, 90, true), { ...QUOTA, isDefragmented: true })).toEqual({
    kind: "disarm",
  });
  expect(planDatabaseStep(status(95, 95, true), { ...QUOTA, isDefragmented: true })).toMatchObject({
    kind: "none",
    isFull: true,
    problem: expect.stringMatching(/is full \(95 of 100 MiB\), and etcd refuses writes; .*--etcd-quota$/),
  });
});

test("stays full until the quota is raised, and reports that once", async () => {
  const calls: string[] = [];
  const lines: string[] = [];
  const call = (name: string) => async () => void calls.push(name);
  let now = status(100, 99, true);
  const database = new DatabaseMaintenance({
    maintenance: {
      status: async () => now,
      compact: call("compact"),
      defragment: call("defragment"),
      disarmSpaceAlarm: async () => {
        calls.push("disarm");
        now = { ...now, hasSpaceAlarm: false };
      },
    },
    ...QUOTA,
    clock: systemClock,
    logger: pino({ base: null }, { write: (line) => lines.push(JSON.parse(line)) }),
  });
  const { signal } = new AbortController();
  await database.maintain(signal);
  await database.maintain(signal);
  expect(calls).toEqual(["compact", "defragment", "compact", "defragment"]);
  expect(database).toMatchObject({ isFull: true, problem: expect.stringContaining("is full") });
  expect(lines.filter((line) => JSON.stringify(line).includes("is full"))).toHaveLength(1);
  now = status(20, 10, true);
  await database.maintain(signal);
  expect(calls.slice(4)).toEqual(["compact", "defragment", "disarm"]);
  expect(database).toMatchObject({ isFull: false, problem: undefined });
});
