import { describe, expect, test } from "vitest";
import { findPlaceholderProblems, TASK_PLACEHOLDERS } from "./task-placeholders.js";

describe("findPlaceholderProblems", () => {
  test("accepts all placeholders of a task, with and without spaces, and single braces", () => {
    const template = TASK_PLACEHOLDERS.map((name) => `{{${name}}} {{ ${name} }} { }}`).join("\n");
    expect(findPlaceholderProblems(template, 10)).toEqual([]);
  });

  test("returns where other placeholders are, up to the limit", () => {
    const template = '{{.Task.Slot}} {{ env "A" }} {{{.Node.ID}}} {{.Task.Slot';
    const problems = findPlaceholderProblems(template, 10);
    expect(
      problems.map(({ start, end, message }) => [template.slice(start, end), message]),
    ).toMatchInlineSnapshot(`
      [
        [
          "{{ env "A" }}",
          "the placeholder "{{ env \\"A\\" }}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        ],
        [
          "{{{.Node.ID}}",
          "the placeholder "{{{.Node.ID}}" is not supported; use .Node.ID, .Node.Hostname, .Service.ID, .Service.Name, .Task.ID, .Task.Name, .Task.Slot",
        ],
        [
          "{{",
          "the braces of the placeholder are not closed",
        ],
      ]
    `);
    expect(findPlaceholderProblems(template, 1)).toHaveLength(1);
  });
});
