import { expect, it } from "vitest";
import { clientSource, sourceOf } from "./source.js";

it.each([
  ["10.0.0.1", "10.0.0.1"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["2001:db8:0:1:a:b:c:d", "2001:db8:0:1"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["fe80::", "fe80:0:0:0"],
  ["::1", "0:0:0:0"],
])("sourceOf() of %s is %s", (address, source) => {
  expect(sourceOf(address)).toBe(source);
});

it.each([
  ["10.0.0.1:7400", "10.0.0.1"],
  ["[2001:db8::1]:7400", "2001:db8:0:0"],
  ["2001:db8::1:7400", "2001:db8:0:0"],
  ["unknown", "unknown"],
])("clientSource() of %s is %s", (client, source) => {
  expect(clientSource(client)).toBe(source);
});
