import { describe, expect, it } from "vitest";
import { reconnectDelayMs } from "./backoff.js";
import { EventStreamParser } from "./event-stream.js";

describe("EventStreamParser", () => {
  it("returns events with their names and ids, and ignores comments", () => {
    const parser = new EventStreamParser();
    const text = ': hello\n\nid: 42.1\ndata: {"a":\ndata: 1}\n\nevent: failure\ndata: {}\n\n';
    expect(parser.push(text)).toEqual([
      { name: "message", data: '{"a":\n1}', id: "42.1" },
      { name: "failure", data: "{}", id: "" },
    ]);
  });

  it("returns the same events wherever the text is split", () => {
    const text = 'id: 1\r\ndata: {"x":"a:b"}\r\n\r\ndata: second\r\n\r\n';
    for (let split = 0; split <= text.length; split += 1) {
      const parser = new EventStreamParser();
      const events = [...parser.push(text.slice(0, split)), ...parser.push(text.slice(split))];
      expect(events).toEqual([
        { name: "message", data: '{"x":"a:b"}', id: "1" },
        { name: "message", data: "second", id: "" },
      ]);
    }
  });

  it("rejects an event that would fill the memory", () => {
    const parser = new EventStreamParser();
    const megabyte = "x".repeat(1_024 * 1_024);
    expect(() => {
      for (let part = 0; part < 40; part += 1) parser.push(megabyte);
    }).toThrow(RangeError);
  });
});

describe("reconnectDelayMs", () => {
  it("grows with each failure up to 5 s, and is spread", () => {
    expect([1, 2, 3, 10].map((failures) => reconnectDelayMs(failures, 1))).toEqual([250, 500, 1_000, 5_000]);
    expect(reconnectDelayMs(1, 0)).toBe(125);
  });
});
