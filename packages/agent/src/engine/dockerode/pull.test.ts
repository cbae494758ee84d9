import { expect, it } from "vitest";
import type { PullProgress } from "../engine.js";
import type { EngineClient } from "./client.js";
import { pullImage } from "./pull.js";

/** Returns the first report of progress when the daemon sends these lines. */
async function progressOf(lines: readonly object[]): Promise<PullProgress | undefined> {
  const body = (async function* () {
    yield Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  })();
  const client = { stream: async () => body } as unknown as EngineClient;
  const reports: PullProgress[] = [];
  const onProgress = (progress: PullProgress): void => void reports.push(progress);
  await pullImage(client, "nginx:1", { signal: new AbortController().signal, platform: "", onProgress });
  return reports[0];
}

const layer = (current: number, total: number) => [
  { status: "Downloading", id: "a", progressDetail: { current, total } },
];

it("pullImage() reports the progress of a layer", async () => {
  expect(await progressOf(layer(5, 10))).toEqual({ receivedBytes: 5, totalBytes: 10 });
});

it.each([
  [20, 10, { receivedBytes: 10, totalBytes: 10 }],
  [-5, 10, { receivedBytes: 0, totalBytes: 10 }],
  [5, -10, { receivedBytes: 0, totalBytes: 0 }],
  [5, 1e300, { receivedBytes: 0, totalBytes: 0 }],
])("pullImage() does not report %d of %d bytes as they are", async (current, total, expected) => {
  expect(await progressOf(layer(current, total))).toEqual(expected);
});
