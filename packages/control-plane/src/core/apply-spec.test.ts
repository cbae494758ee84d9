import { applySpecDefaults, type ServiceSpec, UpdateConfig_Order } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { applySpec, type SpecOutcome } from "./apply-spec.js";
import { buildService, buildSpec } from "./test-records.js";

const NOW = 5_000;
const PORTS = [{ target: 80, published: 8080, protocol: 1, mode: 1 }] as const;
const BASE = {
  labels: { a: "1", b: "2" },
  ports: [...PORTS],
  task: { container: { image: "web:1", labels: { x: "1", y: "2" } }, limits: { memoryBytes: 10 } },
};
const spec = (over: Parameters<typeof buildSpec>[0] = {}): ServiceSpec =>
  applySpecDefaults(buildSpec({ ...BASE, ...over }));
const existing = buildService({
  spec: spec(),
  version: 3,
  templateVersion: 2,
  createdAtMs: 1,
  updatedAtMs: 1,
});
const apply = (next: ServiceSpec): SpecOutcome => applySpec(existing, next, { id: "unused", now: NOW });

describe("applySpec()", () => {
  it("creates version 1 of a service that does not exist", () => {
    const outcome = applySpec(undefined, spec(), { id: "s9", now: NOW });
    expect(outcome).toMatchObject({
      kind: "created",
      service: { id: "s9", version: 1, templateVersion: 1, createdAtMs: NOW, removing: false },
    });
  });

  it("changes nothing for the same spec, however its maps and ports are ordered", () => {
    const same = spec({
      labels: { b: "2", a: "1" },
      task: { limits: { memoryBytes: 10 }, container: { labels: { y: "2", x: "1" }, image: "web:1" } },
    });
    expect(apply(same)).toEqual({ kind: "unchanged", service: existing });
    const two = [...PORTS, { target: 81, published: 81, protocol: 1, mode: 1 } as const];
    const service = buildService({ spec: spec({ ports: two }) });
    expect(applySpec(service, spec({ ports: two.toReversed() }), { id: "", now: NOW }).kind).toBe(
      "unchanged",
    );
  });

  it.each<[string, Parameters<typeof buildSpec>[0], string[]]>([
    ["labels", { labels: {} }, ["labels"]],
    ["replicas", { mode: { $case: "replicated", value: { replicas: 9 } } }, ["replicated"]],
    ["placement", { placement: { constraints: ["node.id == a"] } }, ["placement"]],
    ["update policy", { update: { order: UpdateConfig_Order.START_FIRST } }, ["update"]],
    ["reservations", { task: { ...BASE.task, reservations: { nanoCpus: 1 } } }, ["task"]],
    ["restart policy", { task: { ...BASE.task, restart: { maxAttempts: 3 } } }, ["task"]],
    ["published ingress port", { ports: [{ ...PORTS[0], published: 9090 }] }, ["ports"]],
  ])("changes %s in place", (_name, over, changed) => {
    expect(apply(spec(over))).toMatchObject({
      kind: "updated",
      replacesTasks: false,
      changed,
      service: { version: 4, templateVersion: 2, createdAtMs: 1, updatedAtMs: NOW },
    });
  });

  it.each<[string, Parameters<typeof buildSpec>[0]]>([
    ["image", { task: { ...BASE.task, container: { image: "web:2", labels: { x: "1", y: "2" } } } }],
    ["limits", { task: { ...BASE.task, limits: { memoryBytes: 20 } } }],
    ["target port", { ports: [{ ...PORTS[0], target: 81 }] }],
    ["host-mode port", { ports: [{ ...PORTS[0], mode: 2 }] }],
  ])("replaces tasks when the %s changes", (_name, over) => {
    expect(apply(spec(over))).toMatchObject({
      kind: "updated",
      replacesTasks: true,
      service: { version: 4, templateVersion: 4 },
    });
  });

  it("brings a service back that is being removed", () => {
    const outcome = applySpec({ ...existing, removing: true }, spec(), { id: "", now: NOW });
    expect(outcome).toMatchObject({ kind: "updated", service: { removing: false, version: 4 }, changed: [] });
  });
});
