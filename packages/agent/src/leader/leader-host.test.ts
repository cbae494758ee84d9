import { PROBE_PORT, type Probe } from "@berth/proto/probe";
import { expect, test } from "vitest";
import { Ticker } from "../runtime/ticker.js";
import { waitForHostLoss } from "./leader-host.js";

const never = new AbortController().signal;
const ticker = new Ticker({ signal: never });

test("waitForHostLoss reports a host at once whose server neither accepts nor refuses a connection", async () => {
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return false;
  };
  expect(await waitForHostLoss({ address: "10.0.0.1:7400", probe, ticker }, never)).toBe(true);
  expect(ports).toEqual([7400]);
});

test("waitForHostLoss then probes the host's kernel, which answers even if the server is busy", async () => {
  const answers = [true, true, false];
  const ports: number[] = [];
  const probe: Probe = async ({ port }) => {
    ports.push(port);
    return answers.shift() === true;
  };
  expect(await waitForHostLoss({ address: "[fd00::1]:7400", probe, ticker }, never)).toBe(true);
  expect(ports).toEqual([7400, PROBE_PORT, PROBE_PORT]);
});

test("waitForHostLoss does not probe servers known by a host name, and ends with its signal", async () => {
  const probe: Probe = async () => false;
  expect(await waitForHostLoss({ address: "server.example:7400", probe, ticker }, never)).toBe(false);
  expect(await waitForHostLoss({ address: "10.0.0.1:7400", probe, ticker }, AbortSignal.abort())).toBe(false);
});
