import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { EncodedEvent } from "./encoded-event.js";
import { GzipStream } from "./gzip-stream.js";

function compress(events: readonly EncodedEvent[]): Buffer {
  const stream = new GzipStream();
  const parts = [stream.begin(), ...events.map((event) => stream.add(event))];
  return Buffer.concat([...parts, stream.end()]);
}

const events = ["first", "second", "third"].map((text) =>
  EncodedEvent.of({ id: text, data: JSON.stringify({ text: text.repeat(100) }) }),
);

test("each stream that contains compressed events is a valid gzip stream, in any order of the events", () => {
  for (const order of [
    [0, 1, 2],
    [2, 0],
    [1, 1],
  ]) {
    const selected = order.flatMap((index) => events[index] ?? []);
    const expected = Buffer.concat(selected.map(({ bytes }) => bytes));
    expect(gunzipSync(compress(selected)).toString()).toBe(expected.toString());
  }
});

test("an event is compressed once for all streams", () => {
  const [event] = events;
  expect(event?.compressed).toBe(event?.compressed);
  expect(event?.compressed.length).toBeLessThan((event?.bytes.length ?? 0) / 2);
});
