import { expect, test } from "vitest";
import { type UploadedPart, UploadProgress } from "./upload-progress.js";

const { signal } = new AbortController();
const layer = (digest: string): UploadedPart => ({ kind: "layer", digest });
const config: UploadedPart = { kind: "config", config: Buffer.from("{}") };

async function collect(progress: UploadProgress): Promise<UploadedPart[]> {
  const parts: UploadedPart[] = [];
  for await (const part of progress.parts(signal)) parts.push(part);
  return parts;
}

test("UploadProgress yields earlier and later parts to each reader", async () => {
  const progress = new UploadProgress();
  progress.add(layer("a"));
  const readers = [collect(progress), collect(progress)];
  await new Promise(setImmediate);
  progress.add(layer("b"));
  progress.add(config);
  progress.end();
  progress.end(new Error("ignored"));
  const all = [layer("a"), layer("b"), config];
  expect(await Promise.all([...readers, collect(progress)])).toEqual([all, all, all]);
});

test("UploadProgress yields the parts of a failed upload before its error", async () => {
  const progress = new UploadProgress();
  progress.add(layer("a"));
  progress.end(new Error("the client has left"));
  const parts = progress.parts(signal);
  expect((await parts.next()).value).toEqual(layer("a"));
  await expect(parts.next()).rejects.toThrow("the client has left");
});

test("UploadProgress ends the wait of a reader whose signal aborts", async () => {
  const leaving = new AbortController();
  const waiting = new UploadProgress().parts(leaving.signal).next();
  leaving.abort(new Error("the reader has left"));
  await expect(waiting).rejects.toThrow("the reader has left");
});
