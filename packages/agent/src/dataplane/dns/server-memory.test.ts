import { expect, it } from "vitest";
import { UpstreamHealth } from "./server-memory.js";

it("knows a server as down after three silences in a row, and tries it again after three seconds", () => {
  let now = 0;
  const memory = new UpstreamHealth(() => now);
  const isDown = (): boolean => memory.isDown("192.0.2.1");
  memory.wasSilent("192.0.2.1");
  memory.wasSilent("192.0.2.1");
  memory.answered("192.0.2.1");
  memory.wasSilent("192.0.2.1");
  memory.wasSilent("192.0.2.1");
  expect(isDown()).toBe(false);
  memory.wasSilent("192.0.2.1");
  expect([isDown(), memory.isDown("192.0.2.2")]).toEqual([true, false]);
  now = 3_000;
  expect(isDown()).toBe(false);
  memory.wasSilent("192.0.2.1");
  expect(isDown()).toBe(true);
  memory.answered("192.0.2.1");
  expect(isDown()).toBe(false);
});
