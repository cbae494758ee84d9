import { PortSpec_Protocol } from "@berth/proto";
import { expect, test } from "vitest";
import { ForeignListeners } from "./foreign-listeners.js";

const tcp = (port: number, address = "") => ({ protocol: PortSpec_Protocol.TCP, address, port });
const udp = (port: number) => ({ protocol: PortSpec_Protocol.UDP, address: "", port });

test("ForeignListeners tells of what it sees twice in a row, lowest port first", () => {
  const foreign = new ForeignListeners();
  expect(foreign.next([tcp(443), tcp(80)], [])).toEqual([]);
  expect(foreign.next([tcp(443), udp(53), tcp(80)], [])).toEqual([tcp(80), tcp(443)]);
  expect(foreign.next([udp(53), tcp(80)], [])).toEqual([udp(53), tcp(80)]);
  expect(foreign.next([], [])).toEqual([]);
});

test("ForeignListeners leaves out ports of berth's own, on any address but of the one protocol", () => {
  const foreign = new ForeignListeners();
  const own = [{ protocol: PortSpec_Protocol.TCP, port: 53 }];
  foreign.next([tcp(53, "192.0.2.7"), udp(53)], own);
  expect(foreign.next([tcp(53, "192.0.2.7"), udp(53)], own)).toEqual([udp(53)]);
});

test("ForeignListeners keeps the description of a host small", () => {
  const foreign = new ForeignListeners();
  const many = Array.from({ length: 1_000 }, (_, index) => tcp(40_000 - index));
  foreign.next(many, []);
  const told = foreign.next(many, []);
  expect(told).toHaveLength(256);
  expect(told[0]).toEqual(tcp(39_001));
});

test("ForeignListeners takes no UDP client for a server", () => {
  const foreign = new ForeignListeners();
  const sockets = [udp(123), udp(40_000), tcp(40_000)];
  foreign.next(sockets, []);
  expect(foreign.next(sockets, [])).toEqual([udp(123), tcp(40_000)]);
});
