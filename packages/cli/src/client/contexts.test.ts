import { expect, test } from "vitest";
import { parseContexts } from "./contexts.js";

test("parseContexts keeps each name, even that of an object's prototype", () => {
  const { contexts } = parseContexts(
    '{"current":"a","contexts":{"__proto__":{"server":"h:1"},"a":{"server":"h:2"}}}',
  );
  expect(Object.keys(contexts)).toEqual(["__proto__", "a"]);
  expect(Object.getPrototypeOf(contexts)).toBe(Object.prototype);
});

test.each(["null", "[]", '{"current":1,"contexts":{}}', '{"current":"a","contexts":{"a":{}}}'])(
  "parseContexts rejects %s",
  (text) => {
    expect(() => parseContexts(text)).toThrow(Error);
  },
);
