import { EventEmitter } from "node:events";
import { pino } from "pino";
import { expect, test } from "vitest";
import { exitOnUnhandledErrors } from "./fatal-errors.js";

test.each(["unhandledRejection", "uncaughtException"])(
  "an %s is logged with its reason, and ends the process with exit code 1",
  (event) => {
    const lines: string[] = [];
    const codes: number[] = [];
    const source = new EventEmitter();
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const remove = exitOnUnhandledErrors(source, { log, exit: (code) => codes.push(code) });
    source.emit(event, new Error("stray failure"));
    expect(lines.join("")).toContain("stray failure");
    expect(codes).toEqual([1]);
    remove();
    expect(source.listenerCount(event)).toBe(0);
  },
);
