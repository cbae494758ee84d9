import { expect, test } from "vitest";
import { fillTemplate } from "./template.js";
import { NODE, taskWith } from "./testing.js";

test("fillTemplate knows node, service and task, with or without spaces, and leaves what it does not know", () => {
  const fill = (text: string): string => fillTemplate(text, taskWith(), NODE);
  expect(fill("{{.Node.ID}} {{ .Node.Hostname }}")).toBe("node1 host1");
  expect(fill("{{.Service.ID}} {{.Service.Name}}")).toBe("service1 shop_web");
  expect(fill("{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}")).toBe("task1 shop_web.2.task1 2");
  expect(fill("{{.Nothing}} {{ range }} $A")).toBe("{{.Nothing}} {{ range }} $A");
});

test("fillTemplate gives a task of a global service its node as its slot", () => {
  expect(fillTemplate("{{.Task.Slot}}", taskWith({ slot: 0 }), NODE)).toBe("node1");
});
