import {
  AssignedNetwork,
  Assignments,
  Assignments_Kind,
  DEFAULT_POLICY,
  DnsEntry,
  IngressEntry,
  Policy,
} from "@berth/proto";
import { expect, test } from "vitest";
import { specWith, taskWith } from "../core/tasks/testing.js";
import { AssignmentSet } from "./assignment-set.js";

const spec = specWith();
const [one, two] = [taskWith({ id: "one" }), taskWith({ id: "two" })];
const entry = IngressEntry.fromPartial({ key: "tcp//80", published: 80 });
const COMPLETE = Assignments_Kind.COMPLETE;
const INCREMENTAL = Assignments_Kind.INCREMENTAL;

function setWithOne(): AssignmentSet {
  const set = new AssignmentSet();
  const message = { kind: COMPLETE, resultsIn: 5, specs: [spec], tasks: [one], ingress: [entry] };
  const applied = set.apply(Assignments.fromPartial(message), 1_000);
  expect(applied).toMatchObject({ kind: "applied", sequence: 5, ingress: [entry] });
  return set;
}

test("AssignmentSet applies increments and returns the parts that changed", () => {
  const set = setWithOne();
  const added = { kind: INCREMENTAL, appliesTo: 5, resultsIn: 6, tasks: [two] };
  expect(set.apply(Assignments.fromPartial(added), 2_000)).toEqual({
    kind: "applied",
    sequence: 6,
    change: { isComplete: false, assigned: [{ task: two, spec, receivedAtMs: 2_000 }], removedTaskIds: [] },
    ingress: undefined,
    networks: undefined,
    dnsEntries: undefined,
    files: { contents: undefined, problems: [] },
    registryLogins: { logins: undefined, problems: [] },
  });
  const removed = {
    kind: INCREMENTAL,
    appliesTo: 6,
    resultsIn: 7,
    removedTaskIds: ["one"],
    removedIngressKeys: [entry.key],
  };
  expect(set.apply(Assignments.fromPartial(removed), 3_000)).toMatchObject({
    change: { assigned: [], removedTaskIds: ["one"] },
    ingress: [],
  });
});

test("AssignmentSet reports a gap for an increment on another sequence, on nothing, or without its spec", () => {
  const gap = { kind: "gap", reason: expect.any(String) };
  const incrementOn = (set: AssignmentSet, appliesTo: number): unknown =>
    set.apply(Assignments.fromPartial({ kind: INCREMENTAL, appliesTo, resultsIn: appliesTo + 1 }), 0);
  expect(incrementOn(new AssignmentSet(), 0)).toEqual(gap);
  expect(incrementOn(setWithOne(), 4)).toEqual(gap);
  const unknownSpec = { kind: COMPLETE, resultsIn: 1, tasks: [one] };
  expect(new AssignmentSet().apply(Assignments.fromPartial(unknownSpec), 0)).toEqual(gap);
});

test("AssignmentSet applies no part of a message with a gap", () => {
  const set = setWithOne();
  const orphan = taskWith({ id: "orphan", specVersion: spec.version + 1 });
  const incomplete = { resultsIn: 6, specs: [spec], tasks: [two, orphan] };
  for (const kind of [INCREMENTAL, COMPLETE]) {
    const message = Assignments.fromPartial({ kind, appliesTo: 5, ...incomplete });
    expect(set.apply(message, 0)).toMatchObject({ kind: "gap" });
    expect(set.taskIdsOf(new Set([spec.serviceId]))).toEqual(["one"]);
  }
});

test("AssignmentSet accepts a task whose spec the leader cannot read", () => {
  const unreadable = { serviceId: spec.serviceId, version: spec.version, ports: [] };
  const message = { kind: COMPLETE, resultsIn: 1, specs: [unreadable], tasks: [one] };
  expect(new AssignmentSet().apply(Assignments.fromPartial(message), 0)).toMatchObject({
    change: { assigned: [{ task: one, spec: { task: undefined } }] },
  });
});

test("AssignmentSet keeps a spec whose last task is replaced in the same message", () => {
  const set = setWithOne();
  const swap = { kind: INCREMENTAL, appliesTo: 5, resultsIn: 6, tasks: [two], removedTaskIds: ["one"] };
  expect(set.apply(Assignments.fromPartial(swap), 0)).toMatchObject({ change: { assigned: [{ spec }] } });
  const again = { kind: INCREMENTAL, appliesTo: 6, resultsIn: 7, tasks: [one] };
  expect(set.apply(Assignments.fromPartial(again), 0)).toMatchObject({ kind: "applied" });
});

test("AssignmentSet drops a spec with its last task", () => {
  const set = setWithOne();
  const removed = { kind: INCREMENTAL, appliesTo: 5, resultsIn: 6, removedTaskIds: ["one"] };
  set.apply(Assignments.fromPartial(removed), 0);
  const again = { kind: INCREMENTAL, appliesTo: 6, resultsIn: 7, tasks: [two] };
  expect(set.apply(Assignments.fromPartial(again), 0)).toMatchObject({ kind: "gap" });
});

test("AssignmentSet returns all networks or DNS entries when one of them changed", () => {
  const set = setWithOne();
  const shop = AssignedNetwork.fromPartial({ id: "shop" });
  const blog = AssignedNetwork.fromPartial({ id: "blog" });
  const api = DnsEntry.fromPartial({ key: "shop/api", names: ["api"] });
  const both = { kind: INCREMENTAL, appliesTo: 5, resultsIn: 6, networks: [shop, blog], dnsEntries: [api] };
  expect(set.apply(Assignments.fromPartial(both), 1_000)).toMatchObject({
    ingress: undefined,
    networks: [shop, blog],
    dnsEntries: [api],
  });
  const gone = { kind: INCREMENTAL, appliesTo: 6, resultsIn: 7, removedNetworkIds: ["shop"] };
  expect(set.apply(Assignments.fromPartial(gone), 1_000)).toMatchObject({
    networks: [blog],
    dnsEntries: undefined,
  });
  const nameless = { kind: INCREMENTAL, appliesTo: 7, resultsIn: 8, removedDnsKeys: [api.key] };
  expect(set.apply(Assignments.fromPartial(nameless), 1_000)).toMatchObject({
    networks: undefined,
    dnsEntries: [],
  });
});

test("AssignmentSet has the default policy when a complete set contains none, and keeps it in increments", () => {
  const set = new AssignmentSet();
  const apply = (message: Parameters<typeof Assignments.fromPartial>[0]) =>
    set.apply(Assignments.fromPartial(message), 1_000);
  const policy = Policy.fromPartial({ rules: [{ name: "apps", stacks: ["*"], privileged: false }] });
  expect(apply({ kind: COMPLETE, resultsIn: 1, policy })).toMatchObject({ policy });
  expect(apply({ kind: INCREMENTAL, appliesTo: 1, resultsIn: 2 })).toHaveProperty("policy", undefined);
  expect(apply({ kind: INCREMENTAL, appliesTo: 2, resultsIn: 3, policy })).toMatchObject({ policy });
  expect(apply({ kind: COMPLETE, resultsIn: 4 })).toMatchObject({ policy: DEFAULT_POLICY });
});

test("AssignmentSet says that unknown tasks stay only after a complete set or an increment that says so", () => {
  const set = new AssignmentSet();
  const keeps = (message: Parameters<typeof Assignments.fromPartial>[0]): unknown => {
    const applied = set.apply(Assignments.fromPartial(message), 1_000);
    return applied.kind === "applied" ? applied.change.keepsUnknown : applied;
  };
  expect(keeps({ kind: COMPLETE, resultsIn: 1, keepUnknownTasks: true })).toBe(true);
  expect(keeps({ kind: INCREMENTAL, appliesTo: 1, resultsIn: 2 })).toBeUndefined();
  expect(keeps({ kind: INCREMENTAL, appliesTo: 2, resultsIn: 3, keepUnknownTasks: false })).toBe(false);
  expect(keeps({ kind: COMPLETE, resultsIn: 4 })).toBe(false);
});
