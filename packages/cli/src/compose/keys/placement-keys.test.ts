import { expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

test("placement: keeps the order of the preferences", () => {
  const { specs, messages } = loadService(`deploy:
  placement:
    preferences: [{ spread: node.labels.zone }, { spread: engine.labels.rack }]
    max_replicas_per_node: 2`);
  expect(messages).toEqual([]);
  expect(specs[0]?.placement).toMatchObject({
    spread: ["node.labels.zone", "engine.labels.rack"],
    maxReplicasPerNode: 2,
  });
});

test("placement: an unknown node attribute is an error at its place", () => {
  const { messages } = loadService(`deploy:
  placement:
    preferences:
      - spread: node.zone
      - spread: zone a
      - bind: node.labels.zone`);
  expect(messages).toMatchInlineSnapshot(`
    [
      "c.yaml:7:21: services.s.deploy.placement.preferences[0].spread: unknown node attribute "node.zone"; use node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.KEY or engine.labels.KEY",
      "c.yaml:8:21: services.s.deploy.placement.preferences[1].spread: "zone a" is not a node attribute, such as "node.labels.zone"",
      "c.yaml:9:13: services.s.deploy.placement.preferences[2].bind: unknown key "bind"",
    ]
  `);
});

test("reservations: reads pids and generic resources", () => {
  const { specs, messages } = loadService(`deploy:
  resources:
    limits: { pids: 100 }
    reservations:
      pids: 50
      generic_resources:
        - discrete_resource_spec: { kind: gpu, value: 2 }
        - discrete_resource_spec: { kind: licence, value: "1" }`);
  expect(messages).toEqual([]);
  expect(specs[0]?.task).toMatchObject({
    limits: { pids: 100 },
    reservations: { pids: 50, generic: { gpu: 2, licence: 1 } },
  });
});

test("reservations: reports invalid values at their places", () => {
  const { messages } = loadService(`deploy:
  resources:
    limits: { pids: 10 }
    reservations:
      pids: 50
      generic_resources:
        - discrete_resource_spec: { kind: gpu }
        - discrete_resource_spec: { kind: gpu, value: -1 }
        - named_resource_spec: { kind: gpu, value: a }
        - discrete_resource_spec: { kind: fpga, value: 1 }
        - discrete_resource_spec: { kind: fpga, value: 1 }`);
  expect(messages).toMatchInlineSnapshot(`
    [
      "c.yaml:8:11: services.s.deploy.resources.reservations: the process reservation exceeds the limit",
      "c.yaml:10:15: services.s.deploy.resources.reservations.generic_resources[0].discrete_resource_spec: kind and value must be set",
      "c.yaml:11:59: services.s.deploy.resources.reservations.generic_resources[1].discrete_resource_spec.value: -1 is not between 0 and 2147483647",
      "c.yaml:12:15: services.s.deploy.resources.reservations.generic_resources[2].named_resource_spec: unknown key "named_resource_spec"",
      "c.yaml:14:39: services.s.deploy.resources.reservations.generic_resources[4].discrete_resource_spec: "fpga" is reserved more than once",
    ]
  `);
});
