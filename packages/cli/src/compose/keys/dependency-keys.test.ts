import { Dependency_Condition } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { loadText } from "../../testing/load-text.js";

/** A long chain on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

const OTHERS = "  db: { image: b }\n  job: { image: c }\n  tool: { image: d, profiles: [debug] }\n";

describe("depends_on", () => {
  test("a name alone waits for the start, the long form for its condition", () => {
    const { specs, messages } = loadText(`services:
  web:
    image: a
    depends_on:
      db: { condition: service_healthy, restart: false }
      job: { condition: service_completed_successfully, required: false }
  api: { image: a, depends_on: [db, web] }
${OTHERS}`);
    expect(messages.filter((text) => !text.includes("left out"))).toEqual([]);
    expect(specs.map(({ dependsOn }) => dependsOn)).toEqual([
      [
        { service: "t_db", condition: Dependency_Condition.HEALTHY, optional: false },
        { service: "t_job", condition: Dependency_Condition.COMPLETED, optional: true },
      ],
      [
        { service: "t_db", condition: Dependency_Condition.STARTED, optional: false },
        { service: "t_web", condition: Dependency_Condition.STARTED, optional: false },
      ],
      [],
      [],
    ]);
  });

  test("a service that is not there is an error unless it is not required", () => {
    const { specs, messages } = loadText(`services:
  web:
    image: a
    depends_on:
      bd: { condition: service_started }
      gone: { condition: service_started, required: false }
      tool: { condition: service_started }
      db: { condition: service_ready }
  api: { image: a, depends_on: { tool: { condition: service_started, required: false } } }
${OTHERS}`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:7: services.web.depends_on.bd: there is no service "bd". Did you mean "db"?",
        "c.yaml:7:7: services.web.depends_on.tool: the service "tool" is left out without COMPOSE_PROFILES=debug: name one of them, or say required: false",
        "c.yaml:8:24: services.web.depends_on.db.condition: "service_ready" is not possible: use service_started, service_healthy, service_completed_successfully",
        "c.yaml:12:31: warning: services.tool.profiles: the service is left out: it needs COMPOSE_PROFILES=debug",
      ]
    `);
    expect(specs[1]?.dependsOn).toEqual([]);
  });

  test("a profile that is asked for brings the service in", () => {
    const file = `services:\n  api: { image: a, depends_on: [tool] }\n${OTHERS}`;
    const { specs, messages } = loadText(file, { env: { COMPOSE_PROFILES: "debug" } });
    expect(messages).toEqual([]);
    expect(specs[0]?.dependsOn).toMatchObject([{ service: "t_tool" }]);
  });

  test("each circle is one error with all its places", () => {
    const { messages } = loadText(`services:
  outside: { image: a, depends_on: [a] }
  a: { image: a, depends_on: [b] }
  b: { image: a, depends_on: [free, c] }
  c: { image: a, depends_on: { a: { condition: service_healthy } } }
  self: { image: a, depends_on: [self] }
  free: { image: a }
`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:3:31: services.a.depends_on[0]: these services wait for each other: a (c.yaml:3:31) waits for b (c.yaml:4:37) waits for c (c.yaml:5:32) waits for a",
        "c.yaml:6:34: services.self.depends_on[0]: a service cannot wait for itself",
      ]
    `);
  });

  test("a chain of many services is no circle", () => {
    const count = 3_000;
    const services = Array.from({ length: count }, (_, at) => {
      const next = at + 1 < count ? `, depends_on: [s${at + 1}]` : "";
      return `  s${at}: { image: a${next} }`;
    });
    expect(loadText(`services:\n${services.join("\n")}\n`).messages).toEqual([]);
  });
});
