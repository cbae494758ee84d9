import { Dependency_Condition } from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { loadText } from "../../testing/load-text.js";

/** Long chains take a while on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

const OTHERS = "  db: { image: b }\n  job: { image: c }\n  tool: { image: d, profiles: [debug] }\n";

describe("depends_on", () => {
  test("the short form waits for the start, the long form for its condition", () => {
    const { specs, messages } = loadText(`services:
  web:
    image: a
    depends_on:
      db: { condition: service_healthy, restart: true }
      job: { condition: service_completed_successfully, required: false }
  api: { image: a, depends_on: [db, web] }
${OTHERS}`);
    expect(messages.filter((text) => !text.includes("is disabled"))).toEqual([]);
    expect(specs.map(({ dependsOn }) => dependsOn)).toEqual([
      [
        { service: "t_db", condition: Dependency_Condition.HEALTHY, optional: false, restart: true },
        { service: "t_job", condition: Dependency_Condition.COMPLETED, optional: true, restart: false },
      ],
      [
        { service: "t_db", condition: Dependency_Condition.STARTED, optional: false, restart: false },
        { service: "t_web", condition: Dependency_Condition.STARTED, optional: false, restart: false },
      ],
      [],
      [],
    ]);
  });

  test("an undefined service is an error, and so is a disabled one unless required is false", () => {
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
        "c.yaml:5:7: services.web.depends_on.bd: undefined service "bd"; did you mean "db"?",
        "c.yaml:6:7: services.web.depends_on.gone: undefined service "gone"",
        "c.yaml:7:7: services.web.depends_on.tool: service "tool" is disabled; use --profile debug, or set required: false",
        "c.yaml:8:24: services.web.depends_on.db.condition: "service_ready" is invalid; use service_started, service_healthy, service_completed_successfully",
        "c.yaml:12:31: warning: services.tool.profiles: the service is disabled; use --profile debug to enable it",
      ]
    `);
    expect(specs[1]?.dependsOn).toEqual([]);
  });

  test("an active profile enables the service", () => {
    const file = `services:\n  api: { image: a, depends_on: [tool] }\n${OTHERS}`;
    const { specs, messages } = loadText(file, { env: { COMPOSE_PROFILES: "debug" } });
    expect(messages).toEqual([]);
    expect(specs[0]?.dependsOn).toMatchObject([{ service: "t_tool" }]);
  });

  test("each cycle is one error with all its places", () => {
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
        "c.yaml:3:31: services.a.depends_on.b: dependency cycle: a (c.yaml:3:31) -> b (c.yaml:4:37) -> c (c.yaml:5:32) -> a",
        "c.yaml:6:34: services.self.depends_on.self: dependency cycle: self (c.yaml:6:34) -> self",
      ]
    `);
  });

  test("a long chain of services is not a cycle", () => {
    const count = 3_000;
    const services = Array.from({ length: count }, (_, position) => {
      const next = position + 1 < count ? `, depends_on: [s${position + 1}]` : "";
      return `  s${position}: { image: a${next} }`;
    });
    expect(loadText(`services:\n${services.join("\n")}\n`).messages).toEqual([]);
  });
});
