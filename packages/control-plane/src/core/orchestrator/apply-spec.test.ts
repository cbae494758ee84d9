import {
  applySpecDefaults,
  Rollout,
  Rollout_State,
  type ServiceSpec,
  UpdateConfig_Order,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildService, buildSpec } from "../testing/records.js";
import { applySpec, type SpecOutcome } from "./apply-spec.js";

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
const apply = (next: ServiceSpec): SpecOutcome => applySpec(existing, next, { id: "unused", nowMs: NOW });

describe("applySpec", () => {
  it("creates version 1 of a service that does not exist", () => {
    const outcome = applySpec(undefined, spec(), { id: "s9", nowMs: NOW });
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
    expect(applySpec(service, spec({ ports: two.toReversed() }), { id: "", nowMs: NOW }).kind).toBe(
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

  it("creates a service again that is being removed", () => {
    const outcome = applySpec({ ...existing, removing: true }, spec(), { id: "", nowMs: NOW });
    expect(outcome).toMatchObject({ kind: "updated", service: { removing: false, version: 4 }, changed: [] });
  });

  it("begins a rollout when it replaces tasks, and none otherwise", () => {
    const image = { task: { ...BASE.task, container: { image: "web:2" } } };
    expect(apply(spec(image))).toMatchObject({
      service: {
        rollout: {
          state: Rollout_State.UPDATING,
          fromVersion: 3,
          toVersion: 4,
          startedAtMs: NOW,
          updatedSlots: 0,
        },
        templates: [
          { version: 2, templateVersion: 2 },
          { version: 4, templateVersion: 4 },
        ],
      },
    });
    expect(apply(spec({ labels: {} })).service.rollout).toBeUndefined();
    const forced = apply(spec({ task: { ...BASE.task, forceUpdate: 1 } }));
    expect(forced).toMatchObject({ kind: "updated", replacesTasks: true });
  });

  it("continues an active rollout with the new version, and restarts a paused one", () => {
    const rollout = { fromVersion: 2, toVersion: 3, failedCount: 1, failedSlots: ["1"] };
    const after = (state: Rollout_State, over: Parameters<typeof buildSpec>[0]) => {
      const service = { ...existing, rollout: Rollout.fromPartial({ ...rollout, state }) };
      return applySpec(service, spec(over), { id: "", nowMs: NOW }).service.rollout;
    };
    const labels = { labels: {} };
    const replicas = { mode: { $case: "replicated", value: { replicas: 9 } } } as const;
    const { UPDATING, PAUSED, COMPLETED } = Rollout_State;
    expect(after(UPDATING, labels)).toMatchObject({
      state: UPDATING,
      fromVersion: 2,
      toVersion: 4,
      failedCount: 1,
    });
    expect(after(PAUSED, labels)).toMatchObject({
      state: UPDATING,
      fromVersion: 3,
      toVersion: 4,
      failedCount: 0,
    });
    expect(after(PAUSED, replicas)).toMatchObject({ state: PAUSED, toVersion: 4, failedCount: 1 });
    expect(after(COMPLETED, labels)).toMatchObject({ state: COMPLETED, toVersion: 3 });
  });

  it("reuses the template of running tasks", () => {
    const other = spec({ task: { ...BASE.task, container: { image: "web:2" } } });
    const updated = apply(other).service;
    const specsInUse = new Map([
      [3, spec()],
      [4, other],
    ]);
    const back = applySpec(updated, spec({ labels: {} }), {
      id: "",
      nowMs: NOW,
      specsInUse,
      rollbackMessage: "why",
    });
    expect(back.service).toMatchObject({ version: 5, templateVersion: 2 });
    expect(back.service.rollout).toMatchObject({ state: Rollout_State.ROLLING_BACK, message: "why" });
    expect(applySpec(updated, spec(), { id: "", nowMs: NOW }).service.templateVersion).toBe(5);
  });
});
