import { expect, test } from "vitest";
import { fillTemplate } from "./task-names.js";
import { NODE, taskWith } from "./testing.js";

test("fillTemplate expands placeholders of node, service and task, and keeps unknown ones", () => {
  const expandPlaceholders = (text: string): string => fillTemplate(text, taskWith(), NODE);
  expect(expandPlaceholders("{{.Node.ID}} {{ .Node.Hostname }}")).toBe("node1 host1");
  expect(expandPlaceholders("{{.Service.ID}} {{.Service.Name}}")).toBe("service1 shop_web");
  expect(expandPlaceholders("{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}")).toBe("task1 shop_web.2.task1 2");
  expect(expandPlaceholders("{{.Nothing}} {{ range }} $A")).toBe("{{.Nothing}} {{ range }} $A");
});

test("fillTemplate uses the node ID as the slot of a global service", () => {
  expect(fillTemplate("{{.Task.Slot}}", taskWith({ slot: 0 }), NODE)).toBe("node1");
});
