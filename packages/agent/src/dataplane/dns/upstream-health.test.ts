import { expect, it } from "vitest";
import { UpstreamHealth } from "./upstream-health.js";

it("UpstreamHealth counts a server as down for 3 s after three timeouts in a row", () => {
  let now = 0;
  const health = new UpstreamHealth(() => now);
  const isDown = (): boolean => health.isDown("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordAnswer("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  health.recordTimeout("192.0.2.1");
  expect(isDown()).toBe(false);
  health.recordTimeout("192.0.2.1");
  expect([isDown(), health.isDown("192.0.2.2")]).toEqual([true, false]);
  now = 3_000;
  expect(isDown()).toBe(false);
  health.recordTimeout("192.0.2.1");
  expect(isDown()).toBe(true);
  health.recordAnswer("192.0.2.1");
  expect(isDown()).toBe(false);
});
