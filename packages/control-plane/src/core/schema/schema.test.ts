import { expect, test } from "vitest";
import { type Migration, planMigration, SCHEMA } from "./migrations.js";
import { decideRaise, type RegisteredServer, supportedVersion } from "./raise-schema.js";

const OWN = { oldest: 2, newest: 3 };
const server = (address: string, newest: number): RegisteredServer => ({
  address,
  version: `0.${newest}.0`,
  schema: { oldest: newest - 1, newest },
});

test("this release has a migration to each version after the oldest one that it supports", () => {
  const { versions, migrations } = SCHEMA;
  const expected = Array.from({ length: versions.newest - 1 }, (_, index) => index + 2);
  const supported = expected.filter((version) => version > versions.oldest);
  expect(migrations.map(({ version }) => version).slice(-supported.length || migrations.length)).toEqual(
    supported,
  );
  // The servers of two releases in a row work with the same records.
  expect(versions.newest - versions.oldest).toBeLessThanOrEqual(1);
});

test("migrations are applied in order, and only to their kinds of records", () => {
  const step = (version: number, collections: readonly string[]): Migration => ({
    version,
    collections,
    migrate: ({ value }) => ({ ...value, steps: [...((value.steps as number[]) ?? []), version] }),
  });
  const plan = planMigration([step(2, ["tasks"]), step(3, ["services", "tasks"]), step(4, ["tasks"])], 1, 3);
  expect(plan.collections).toEqual(["services", "tasks"]);
  expect(plan.migrate("tasks", { key: "k", value: {} })).toEqual({ steps: [2, 3] });
  expect(plan.migrate("services", { key: "k", value: {} })).toEqual({ steps: [3] });
});

test("a record that a migration deletes is not passed to the next one", () => {
  const remove: Migration = { version: 2, collections: ["tasks"], migrate: () => undefined };
  const fail = (): never => {
    throw new Error("called");
  };
  const plan = planMigration([remove, { version: 3, collections: ["tasks"], migrate: fail }], 1, 3);
  expect(plan.migrate("tasks", { key: "k", value: {} })).toBeUndefined();
});

test("the schema is raised once all servers support it", () => {
  const servers = [server("a", 3), server("b", 4)];
  expect(decideRaise({ current: 2, servers, stopped: [], memberCount: 2 }, OWN)).toEqual({
    kind: "raise",
    to: 3,
  });
  expect(decideRaise({ current: 2, servers, stopped: [], memberCount: undefined }, OWN)).toEqual({
    kind: "raise",
    to: 3,
  });
  expect(decideRaise({ current: 3, servers, stopped: [], memberCount: 2 }, OWN)).toEqual({ kind: "current" });
  expect(supportedVersion(servers, OWN)).toBe(3);
  expect(supportedVersion([server("c", 2)], OWN)).toBe(2);
});

test("the schema is not raised while a server has an older release", () => {
  const servers = [server("a", 3), server("c", 2), server("b", 2)];
  expect(decideRaise({ current: 2, servers, stopped: [], memberCount: 3 }, OWN)).toEqual({
    kind: "refuse",
    reason: "these servers run an older release: b (0.2.0), c (0.2.0)",
  });
});

test("the schema is not raised while a server is missing, since it may have an older release", () => {
  expect(decideRaise({ current: 2, servers: [server("a", 3)], stopped: [], memberCount: 3 }, OWN)).toEqual({
    kind: "refuse",
    reason: "2 of 3 servers are not connected, and may have an older release",
  });
  const stopped = ["h2 (10.0.0.2:7400)"];
  const servers = [server("a", 3)];
  expect(decideRaise({ current: 2, servers, stopped, memberCount: undefined }, OWN)).toEqual({
    kind: "refuse",
    reason: "these servers are not running, and may have an older release: h2 (10.0.0.2:7400)",
  });
  expect(decideRaise({ current: 2, servers: [], stopped: [], memberCount: undefined }, OWN)).toMatchObject({
    kind: "refuse",
  });
});
