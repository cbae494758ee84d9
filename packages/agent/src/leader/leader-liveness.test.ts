import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import { expect, test } from "vitest";
import { Ticker } from "../runtime/ticker.js";
import { untilHostGone } from "./server-watch.js";

const never = new AbortController().signal;
const pulse = new Ticker({ signal: never });

test("untilHostGone gives up a host at once whose server neither accepts nor refuses", async () => {
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return false;
  };
  expect(await untilHostGone({ address: "10.0.0.1:7400", probe, pulse }, never)).toBe(true);
  expect(ports).toEqual([7400]);
});

test("untilHostGone then asks the host's kernel, which answers however busy the server is", async () => {
  const answers = [true, true, false];
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return answers.shift() === true;
  };
  expect(await untilHostGone({ address: "[fd00::1]:7400", probe, pulse }, never)).toBe(true);
  expect(ports).toEqual([7400, PROBE_PORT, PROBE_PORT]);
});

test("untilHostGone leaves servers alone that are known by name, and ends with its signal", async () => {
  const probe: Probe = async () => false;
  expect(await untilHostGone({ address: "server.example:7400", probe, pulse }, never)).toBe(false);
  expect(await untilHostGone({ address: "10.0.0.1:7400", probe, pulse }, AbortSignal.abort())).toBe(false);
});
