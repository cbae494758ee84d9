import { ServiceSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { getRequirements, withCompanions } from "./requirements.js";

const specWith = (spec: Parameters<typeof ServiceSpec.fromPartial>[0]): ServiceSpec =>
  ServiceSpec.fromPartial(spec);

test("the node of an owner meets the requirements of its companions too", () => {
  const owner = specWith({
    name: "web",
    placement: { constraints: ["node.labels.zone==a"] },
    task: { reservations: { memoryBytes: 100 } },
  });
  const companion = specWith({
    name: "model",
    placement: { constraints: ["node.labels.disk==ssd"] },
    task: {
      reservations: { memoryBytes: 20 },
      container: { platform: "linux/amd64", deviceRequests: [{ count: 1, capabilities: ["gpu"] }] },
    },
  });
  const alone = getRequirements(owner);
  expect(withCompanions(alone)).toBe(alone);
  const together = withCompanions(alone, [companion]);
  expect(together).toMatchObject({ platform: "linux/amd64", gpus: 1 });
  expect(together.constraints.map(({ text }) => text)).toEqual([
    "node.labels.zone==a",
    "node.labels.disk==ssd",
  ]);
  expect(together.resources.memoryBytes).toBe(120);
});
