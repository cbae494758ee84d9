import { expect, it } from "vitest";
import { TableAcks } from "./table-acks.js";

it("TableAcks requests a version once, and again for a later one", () => {
  const acks = new TableAcks();
  expect(acks.isDue).toBe(false);
  acks.request(4);
  expect(acks.isDue).toBe(true);
  acks.requested(10, 5);
  acks.request(5);
  expect(acks.isDue).toBe(false);
  acks.request(6);
  expect(acks.isDue).toBe(true);
});

it("TableAcks counts an acknowledgement for all earlier requests, and ignores one without a request", () => {
  const acks = new TableAcks();
  expect(acks.acknowledged(9)).toBe(false);
  acks.requested(10, 5);
  acks.requested(12, 7);
  acks.requested(14, 8);
  expect(acks.acknowledged(9)).toBe(false);
  expect(acks.acknowledged(13)).toBe(true);
  expect(acks.appliedVersion).toBe(7);
  expect(acks.acknowledged(13)).toBe(false);
});

it("TableAcks drops the oldest requests when an agent never answers", () => {
  const acks = new TableAcks();
  for (let n = 1; n <= 1_000; n += 1) acks.requested(n, n);
  expect(acks.acknowledged(500)).toBe(false);
  expect(acks.acknowledged(1_000)).toBe(true);
  expect(acks.appliedVersion).toBe(1_000);
});
