import { describe, expect, it } from "vitest";
import { buildService, buildSpec, buildTask } from "../testing/records.js";
import { addTemplateChange, currentTaskFilter, templateText, templateVersionAt } from "./template.js";

const mark = (version: number, templateVersion: number) => ({ version, templateVersion });
/** Versions 1-3 of template 1, 4-5 of template 4, then 6 is back at template 1. */
const returned = buildService({
  version: 7,
  templateVersion: 1,
  templates: [mark(1, 1), mark(4, 4), mark(6, 1)],
});
const ofVersion = (specVersion: number) => buildTask({ specVersion });

describe("templateVersionAt", () => {
  it.each([
    [1, 1],
    [3, 1],
    [4, 4],
    [5, 4],
    [6, 1],
    [7, 1],
  ])("version %i has template %i", (version, template) => {
    expect(templateVersionAt(returned, version)).toBe(template);
  });

  it("reads records of older releases, which hold only the first version of the template", () => {
    const service = buildService({ version: 5, templateVersion: 3 });
    expect([2, 3, 5].map((version) => templateVersionAt(service, version))).toEqual([0, 3, 3]);
  });
});

describe("currentTaskFilter", () => {
  it("treats tasks of an older version with the same template as current, and those between as outdated", () => {
    const isCurrent = currentTaskFilter(returned);
    expect([1, 3, 4, 5, 6, 7].filter((version) => isCurrent(ofVersion(version)))).toEqual([1, 3, 6, 7]);
    const isNew = currentTaskFilter(buildService({ version: 5, templateVersion: 3 }));
    expect([2, 3, 5].filter((version) => isNew(ofVersion(version)))).toEqual([3, 5]);
  });
});

describe("addTemplateChange", () => {
  it("keeps earlier changes up to the limit", () => {
    const first = buildService({ version: 3, templateVersion: 2 });
    expect(addTemplateChange(first, { version: 4, templateVersion: 4 })).toEqual([mark(2, 2), mark(4, 4)]);
    let service = first;
    for (let version = 4; version < 50; version += 1) {
      service = { ...service, templates: addTemplateChange(service, { version, templateVersion: version }) };
    }
    expect(service.templates).toHaveLength(20);
    expect(templateVersionAt(service, 49)).toBe(49);
    expect(templateVersionAt(service, 5)).toBe(0);
  });
});

describe("templateText", () => {
  it("differs for forced updates, and not for parts that a container does not see", () => {
    const forced = buildSpec({ task: { container: { image: "web:1" }, forceUpdate: 1 } });
    expect(templateText(forced)).not.toBe(templateText(buildSpec()));
    expect(
      templateText(buildSpec({ labels: { a: "1" }, placement: { constraints: ["node.id == a"] } })),
    ).toBe(templateText(buildSpec()));
  });
});
