import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { ForeignListeners } from "./foreign-listeners.js";

const tcp = (port: number, address = "") => ({ protocol: PortSpec_Protocol.TCP, address, port });
const udp = (port: number) => ({ protocol: PortSpec_Protocol.UDP, address: "", port });

test("ForeignListeners returns what two updates in a row contain, lowest port first", () => {
  const foreign = new ForeignListeners();
  expect(foreign.update([tcp(443), tcp(80)], [])).toEqual([]);
  expect(foreign.update([tcp(443), udp(53), tcp(80)], [])).toEqual([tcp(80), tcp(443)]);
  expect(foreign.update([udp(53), tcp(80)], [])).toEqual([udp(53), tcp(80)]);
  expect(foreign.update([], [])).toEqual([]);
});

test("ForeignListeners leaves out berth's ports on any address, for the same protocol only", () => {
  const foreign = new ForeignListeners();
  const own = [{ protocol: PortSpec_Protocol.TCP, port: 53 }];
  foreign.update([tcp(53, "192.0.2.7"), udp(53)], own);
  expect(foreign.update([tcp(53, "192.0.2.7"), udp(53)], own)).toEqual([udp(53)]);
});

test("ForeignListeners returns at most 256 ports", () => {
  const foreign = new ForeignListeners();
  const many = Array.from({ length: 1_000 }, (_, index) => tcp(40_000 - index));
  foreign.update(many, []);
  const reported = foreign.update(many, []);
  expect(reported).toHaveLength(256);
  expect(reported[0]).toEqual(tcp(39_001));
});

test("ForeignListeners ignores UDP sockets on ephemeral ports", () => {
  const foreign = new ForeignListeners();
  const sockets = [udp(123), udp(40_000), tcp(40_000)];
  foreign.update(sockets, []);
  expect(foreign.update(sockets, [])).toEqual([udp(123), tcp(40_000)]);
});
