import { expect, test } from "vitest";
import { MAX_REPLICAS, parseReplicaCount } from "./replica-count.js";

test.each([
  ["0", 0],
  [" 6 ", 6],
  [String(MAX_REPLICAS), MAX_REPLICAS],
])("accepts the number of replicas %j", (text, count) => {
  expect(parseReplicaCount(text)).toBe(count);
});

test.each(["", " ", "-1", "1.5", "1e3", "six", "100001", "9999999"])(
  "refuses %j as a number of replicas",
  (text) => {
    expect(parseReplicaCount(text)).toBeUndefined();
  },
);
