import { expect, it } from "vitest";
import { TableAcks } from "./table-acks.js";

it("TableAcks requests a version once, and again for a later one", () => {
  const acks = new TableAcks();
  expect(acks.isDue).toBe(false);
  acks.requireAck(4);
  expect(acks.isDue).toBe(true);
  acks.recordRequest(10, 5);
  acks.requireAck(5);
  expect(acks.isDue).toBe(false);
  acks.requireAck(6);
  expect(acks.isDue).toBe(true);
});

it("TableAcks counts an acknowledgement for all earlier requests, and ignores one without a request", () => {
  const acks = new TableAcks();
  expect(acks.recordAck(9)).toBe(false);
  acks.recordRequest(10, 5);
  acks.recordRequest(12, 7);
  acks.recordRequest(14, 8);
  expect(acks.recordAck(9)).toBe(false);
  expect(acks.recordAck(13)).toBe(true);
  expect(acks.appliedVersion).toBe(7);
  expect(acks.recordAck(13)).toBe(false);
});

it("TableAcks drops the oldest requests when an agent never answers", () => {
  const acks = new TableAcks();
  for (let n = 1; n <= 1_000; n += 1) acks.recordRequest(n, n);
  expect(acks.recordAck(500)).toBe(false);
  expect(acks.recordAck(1_000)).toBe(true);
  expect(acks.appliedVersion).toBe(1_000);
});
