import { describe, expect, it } from "vitest";
import { findStaleConnections, type Vip, type Vips } from "./vip.js";

const vip = (tasks: readonly string[], draining: readonly string[] = []): Vip => ({
  address: "10.64.0.2",
  bridge: "bth4097",
  hasSourceAffinity: false,
  hold: undefined,
  tasks,
  draining,
});
const table = (...vips: readonly Vip[]): Vips => new Map(vips.map((each) => [each.address, each]));
const deletions = (before: Vips, now: Vips): readonly string[] =>
  findStaleConnections(before, now).map(({ args }) => args.join(" "));

describe("findStaleConnections()", () => {
  const to = "--orig-dst 10.64.0.2 --reply-src";

  it("deletes all connections but closed ones to a task that is gone", () => {
    const gone = [
      `--delete --proto tcp --state SYN_SENT --mark 0x400000/0xc00000 ${to} 10.64.3.2`,
      `--delete --proto tcp --state ESTABLISHED --mark 0x400000/0x400000 ${to} 10.64.3.2`,
      `--delete --proto tcp --state CLOSE_WAIT --mark 0x400000/0x400000 ${to} 10.64.3.2`,
      `--delete --proto udp --mark 0x400000/0x400000 ${to} 10.64.3.2`,
    ];
    expect(deletions(table(vip(["10.64.1.2", "10.64.3.2"])), table(vip(["10.64.1.2"])))).toEqual(gone);
    expect(deletions(table(vip([], ["10.64.3.2"])), table())).toEqual(gone);
  });

  it("deletes only unanswered connections and UDP flows of a task that starts to drain", () => {
    expect(
      deletions(table(vip(["10.64.1.2", "10.64.2.2"])), table(vip(["10.64.1.2"], ["10.64.2.2"]))),
    ).toEqual([
      `--delete --proto tcp --state SYN_SENT --mark 0x400000/0xc00000 ${to} 10.64.2.2`,
      `--delete --proto udp --mark 0x400000/0x400000 ${to} 10.64.2.2`,
    ]);
  });

  it("deletes nothing when nothing changes or a task is added", () => {
    const before = table(vip(["10.64.1.2"]));
    expect(deletions(before, before)).toEqual([]);
    expect(deletions(before, table(vip(["10.64.1.2", "10.64.2.2"])))).toEqual([]);
  });
});
