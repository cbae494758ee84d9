import { expect, it } from "vitest";
import { TableAcks } from "./table-acks.js";

it("TableAcks asks once for a version, and again for a later one", () => {
  const acks = new TableAcks();
  expect(acks.isDue).toBe(false);
  acks.want(4);
  expect(acks.isDue).toBe(true);
  acks.asked(10, 5);
  acks.want(5);
  expect(acks.isDue).toBe(false);
  acks.want(6);
  expect(acks.isDue).toBe(true);
});

it("TableAcks takes an answer for all that was asked before, and an unasked one for nothing", () => {
  const acks = new TableAcks();
  expect(acks.applied(9)).toBe(false);
  acks.asked(10, 5);
  acks.asked(12, 7);
  acks.asked(14, 8);
  expect(acks.applied(9)).toBe(false);
  expect(acks.applied(13)).toBe(true);
  expect(acks.inForce).toBe(7);
  expect(acks.applied(13)).toBe(false);
});

it("TableAcks forgets the oldest questions to an agent that never answers", () => {
  const acks = new TableAcks();
  for (let n = 1; n <= 1_000; n += 1) acks.asked(n, n);
  expect(acks.applied(500)).toBe(false);
  expect(acks.applied(1_000)).toBe(true);
  expect(acks.inForce).toBe(1_000);
});
