import { DESCRIPTION_LIMITS, NodeDescription } from "@berth/proto";
import { expect, test } from "vitest";
import { limitDescription } from "./limit-description.js";

const sizeOf = (description: NodeDescription): number => NodeDescription.encode(description).finish().length;

test("limitDescription keeps an ordinary description and leaves out anonymous volumes", () => {
  const description = NodeDescription.fromPartial({
    hostname: "h1",
    address: "10.0.0.1",
    engineLabels: { zone: "a" },
    volumes: ["shop_data"],
    dataPlane: { overlay: true, subnets: ["10.0.0.0/24"], addresses: ["10.0.0.1"] },
  });
  expect(limitDescription(description)).toEqual(description);
  const withAnonymous = { ...description, volumes: ["a".repeat(64), "shop_data"] };
  expect(limitDescription(withAnonymous)).toEqual(description);
});

test("limitDescription cuts lists and texts, and names what it left out", () => {
  const limited = limitDescription(
    NodeDescription.fromPartial({
      engineLabels: { bad: "a\u001bb", good: "x" },
      problems: ["two\nlines", "y".repeat(5_000)],
      volumes: Array.from({ length: 2_000 }, (_, index) => `v${index}`),
      dataPlane: { addresses: Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`) },
    }),
  );
  expect(limited.engineLabels).toEqual({ good: "x" });
  expect(limited.problems[0]).toBe("two lines");
  expect(limited.problems[1]).toHaveLength(DESCRIPTION_LIMITS.text);
  expect(limited.problems.at(-1)).toMatch(/this host has too many volumes/);
  expect(limited.volumes).toHaveLength(DESCRIPTION_LIMITS.volumes);
  expect(limited.dataPlane?.addresses).toEqual([]);
});

test("limitDescription leaves out parts of a description that is too large as a whole", () => {
  const limited = limitDescription(
    NodeDescription.fromPartial({
      engineLabels: Object.fromEntries(
        Array.from({ length: 200 }, (_, index) => [`label${index}`, "x".repeat(1_000)]),
      ),
      volumes: ["shop_data"],
    }),
  );
  expect(sizeOf(limited)).toBeLessThan(DESCRIPTION_LIMITS.bytes);
  expect(limited.engineLabels).toEqual({});
  expect(limited.volumes).toEqual(["shop_data"]);
});
