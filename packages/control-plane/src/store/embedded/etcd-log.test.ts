import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { logEtcdLine } from "./etcd-log.js";

function logged(line: string): { level: number; msg: string; etcd: Record<string, unknown> } | undefined {
  const lines: string[] = [];
  logEtcdLine(line, pino({}, { write: (text: string) => lines.push(text) }));
  return lines[0] === undefined ? undefined : JSON.parse(lines[0]);
}

describe("logEtcdLine", () => {
  it("keeps etcd's level, words and facts, without its time, place and stack", () => {
    const line =
      '{"level":"warn","ts":"t","caller":"a.go:1","stacktrace":"s","msg":"slow fdatasync","took":"2s"}';
    expect(logged(line)).toMatchObject({ level: 40, msg: "etcd: slow fdatasync", etcd: { took: "2s" } });
    expect(Object.keys(logged(line)?.etcd ?? {})).toEqual(["took"]);
  });

  it("returns the reason together with what failed", () => {
    const line = '{"level":"fatal","msg":"discovery failed","error":"wal: crc mismatch"}';
    expect(logEtcdLine(line, pino({ level: "silent" }))).toBe("discovery failed: wal: crc mismatch");
    expect(logged(line)).toMatchObject({ level: 50 });
  });

  it("passes a panic and old-style warnings on, but no stack trace, no other noise and nothing that is always so", () => {
    expect(logged("panic: freepages: failed to get all reachable pages")).toMatchObject({ level: 50 });
    expect(logged("2026-01-01 00:00:00.1 W | pkg/fileutil: check file permission")).toMatchObject({
      level: 40,
    });
    for (const line of [
      "goroutine 1 [running]:",
      "\tmain.go:12 +0x1d",
      "",
      "{}",
      "null",
      '{"level":1,"msg":2}',
    ]) {
      expect(logged(line), line).toBeUndefined();
    }
    const claim =
      '{"level":"warn","msg":"found invalid file under data directory","filename":"berth-server.json"}';
    expect(logged(claim)).toBeUndefined();
    expect(logged('{"level":"warn","msg":"simple token is not cryptographically signed"}')).toBeUndefined();
  });
});
