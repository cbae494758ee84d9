import { WatchStatsResponse } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const MIB = 1024 * 1024;

const watchStats: FakeControlHandlers["watchStats"] = async function* () {
  const task = (taskId: string, cpuPercent: number, memoryBytes: number) => ({
    taskId,
    serviceName: "shop_web",
    slot: 1,
    nodeHostname: "host-1",
    usage: { cpuPercent, memoryBytes, receivedBytesPerSecond: 2_048, sentBytesPerSecond: 0 },
    memoryLimitBytes: 0,
  });
  yield WatchStatsResponse.fromPartial({
    nodes: [
      {
        hostname: "host-1",
        tasks: 2,
        stats: {
          cpus: 2,
          memoryTotalBytes: 1024 * MIB,
          usage: { cpuPercent: 101.26, memoryBytes: 256 * MIB },
        },
      },
      { hostname: "host-2" },
    ],
    tasks: [task("busyxxxxxxxxxxxx", 95.5, MIB), task("bigxxxxxxxxxxxxx", 1, 64 * MIB)],
  });
  await new Promise(() => {});
};

describe("top --once", () => {
  test("prints nodes and tasks in descending order of usage, and nodes without stats", async () => {
    const { code, out } = await berth("top --once", { watchStats });
    expect(code).toBe(0);
    expect(out.split("\n").map((line) => line.trimEnd())).toEqual([
      "NODE     CPU %   CPUS   MEMORY          NET IN/S   NET OUT/S   TASKS",
      "host-1   101.3   2      256MiB / 1GiB   0B         0B          2",
      "host-2   -              -               -          -           unavailable",
      "",
      "TASK                      NODE     CPU %   MEMORY   NET IN/S   NET OUT/S",
      "shop_web.1.busyxxxxxxxx   host-1   95.5    1MiB     2KiB       0B",
      "shop_web.1.bigxxxxxxxxx   host-1   1.0     64MiB    2KiB       0B",
      "",
    ]);
  });

  test("sorts by the given column", async () => {
    const { out } = await berth("top --once --sort mem -o json", { watchStats });
    expect(JSON.parse(out)).toMatchObject({
      nodes: [
        { hostname: "host-1", cpuPercent: 101.26 },
        { hostname: "host-2", cpuPercent: null },
      ],
      tasks: [{ id: "bigxxxxxxxxxxxxx" }, { id: "busyxxxxxxxxxxxx" }],
    });
  });
});

test("top does not change the terminal if there is no server to connect to", async () => {
  const raw: boolean[] = [];
  const streams = { setRawMode: (isRaw: boolean) => void raw.push(isRaw) };
  const { code, out } = await berth("top --server nowhere", { watchStats }, { isTty: true, streams });
  expect([code, out, raw]).toEqual([2, "", []]);
});

test("top on a terminal uses the alternate screen, handles keys and restores the terminal", async () => {
  const raw: boolean[] = [];
  const { code, out } = await berth(
    "top",
    { watchStats },
    {
      isTty: true,
      columns: 40,
      streams: {
        isInputTty: true,
        setRawMode: (isRaw) => void raw.push(isRaw),
        size: () => ({ columns: 40, rows: 6 }),
        input: async function* () {
          await new Promise((resolve) => setTimeout(resolve, 300));
          yield Buffer.from("mq");
        },
      },
    },
  );
  expect([code, raw]).toEqual([0, [true, false]]);
  expect(out.startsWith("\x1b[?1049h")).toBe(true);
  expect(out.endsWith("\x1b[?1049l")).toBe(true);
  expect(out).toContain("… 2 more");
});
