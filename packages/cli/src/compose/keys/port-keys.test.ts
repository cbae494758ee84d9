import { expect, test } from "vitest";
import { loadStack } from "../load-stack.js";
import { formatDiagnostic } from "../text/format-diagnostics.js";

function load(text: string) {
  const file = { name: "c.yaml", path: "/project/c.yaml", bytes: Buffer.from(text) };
  const { specs, diagnostics } = loadStack({
    stack: "t",
    files: [file],
    envFiles: [],
    environment: {},
    homeDirectory: "/home/user",
    readFile: () => undefined,
  });
  const published = specs.map(({ ports }) => ports.map((port) => port.published));
  return { published, warnings: diagnostics.map((each) => [each.isSettingIgnored, formatDiagnostic(each)]) };
}

test("publishes the first port of a range, which loses something only with several replicas", () => {
  const { published, warnings } = load(`services:
  one: { image: a, ports: ["8000-8010:80"] }
  two: { image: a, ports: [{ target: 80, published: 9000-9001 }], deploy: { replicas: 2 } }
`);
  expect(published).toEqual([[8000], [9000]]);
  expect(warnings).toEqual([
    [
      false,
      "c.yaml:2:28: warning: services.one.ports[0]: all hosts publish the same port: the first port of 8000-8010",
    ],
    [
      true,
      "c.yaml:3:28: warning: services.two.ports[0]: ignored: a separate port of 9000-9001 for each of the 2 replicas: all of them share port 9000",
    ],
  ]);
});

test("publishes a port once that a service lists twice", () => {
  const { published, warnings } = load(
    'services: { s: { image: a, ports: ["8080:80", { target: 80, published: "8080" }] } }',
  );
  expect({ published, warnings }).toEqual({ published: [[8080]], warnings: [] });
});
