import { expect, test } from "vitest";
import { loadText, resolveText } from "../../testing/load-text.js";

const PROBLEM = '"__proto__" cannot be a key; use another name';

test("a key that objects cannot have is an error in mappings, lists of KEY=VALUE and links", () => {
  const { messages } = loadText(`services:
  web:
    image: a
    labels: { __proto__: x, b: c }
    annotations: ["__proto__=3"]
    environment: ["__proto__"]
    external_links: ["db:__proto__", __proto__, "__proto__:db"]
volumes: { __proto__: null }
`);
  expect(messages).toEqual([
    `c.yaml:4:15: services.web.labels: ${PROBLEM}`,
    `c.yaml:5:19: services.web.annotations[0]: ${PROBLEM}`,
    `c.yaml:6:19: services.web.environment[0]: ${PROBLEM}`,
    `c.yaml:7:22: services.web.external_links[0]: ${PROBLEM}`,
    `c.yaml:7:38: services.web.external_links[1]: ${PROBLEM}`,
    `c.yaml:8:12: volumes: ${PROBLEM}`,
  ]);
});

test("keys that are names of methods are ordinary keys", () => {
  const { project, messages } = resolveText("services: { web: { image: a, labels: { toString: x } } }\n");
  expect(messages).toEqual([]);
  expect(project).toMatchObject({ services: { web: { labels: { toString: "x" } } } });
});
