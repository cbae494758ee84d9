import { TaskState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import { LONGEST_CALL_MS } from "../cluster/user.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { Violation } from "../run-history.js";
import type { Commit } from "../store/sim-etcd.js";
import { Answers } from "./answers.js";
import { Contact } from "./contact.js";
import { Convergence } from "./convergence.js";
import { Copies } from "./copies.js";
import { Dependencies } from "./dependencies.js";
import { Drains } from "./drains.js";
import { Ingress } from "./ingress.js";
import { Jobs } from "./jobs.js";
import { Leases } from "./leases.js";
import { Load } from "./load.js";
import { Memberships } from "./memberships.js";
import { checkOrder } from "./orders.js";
import { Records, stateOf } from "./records.js";
import { Reports } from "./reports.js";
import { Rollbacks } from "./rollbacks.js";
import type { Scene } from "./scene.js";
import { Tables } from "./tables.js";
import { Transitions } from "./transitions.js";
import { Volumes } from "./volumes.js";

const LOOK_MS = 100;
const MAX_VIOLATIONS = 10;

export interface Checks {
  readonly violations: readonly Violation[];
  /** Nothing more is to be seen. */
  readonly isOver: boolean;
  end(): void;
}

/** Watches over a history: at each commit, each container that starts or ends, and ten times a second. */
export function check(cluster: Cluster): Checks {
  const { world } = cluster;
  const { scheduler, history } = world;
  const violations: Violation[] = [];
  const said = new Set<string>();
  const report = (promise: string, what: string): void => {
    if (said.has(`${promise} ${what}`) || violations.length >= MAX_VIOLATIONS) return;
    said.add(`${promise} ${what}`);
    violations.push({ promise, atMs: scheduler.nowMs, what });
    world.trace.note("check", `VIOLATION ${promise} ${what}`);
  };
  const records = new Records();
  const contact = new Contact(cluster, records);
  const scene: Scene = { cluster, records, contact, report };
  const copies = new Copies(scene);
  const answers = new Answers(scene);
  const ingress = new Ingress(scene);
  const jobs = new Jobs(scene);
  const dependencies = new Dependencies(scene);
  const leases = new Leases(scene);
  const load = new Load(scene);
  const memberships = new Memberships(scene);
  const volumes = new Volumes(scene);
  const reports = new Reports(scene);
  const drains = new Drains(scene);
  const rollbacks = new Rollbacks(scene);
  const tables = new Tables(scene);
  const transitions = new Transitions(scene);
  const convergence = new Convergence(scene);
  let isStopped = false;

  world.observers.push({
    onCommit(commit: Commit) {
      const leaderBefore = records.leader;
      const change = records.apply(commit);
      for (const { before, after } of change.services) {
        if (before !== undefined) copies.noteWanted(before);
        rollbacks.onChange(before, after);
      }
      drains.onCommit(change.tasks);
      tables.onCommit(change.tasks);
      transitions.onCommit(commit, change, leaderBefore);
      for (const each of [jobs, dependencies, volumes, load, leases, memberships]) each.onChange(change);
      for (const [nodeId, before] of change.nodesBefore) contact.checkDeath(nodeId, before, report);
      for (const { after } of change.tasks) {
        if (after !== undefined && stateOf(after) === TaskState.NEW && after.status?.message === "") {
          report("L2", `task ${after.id} (${after.serviceName}.${after.slot}) waits and does not say why`);
        }
      }
      contact.look();
    },
    onContainer(host: string, container: SimContainer, what: string) {
      dependencies.noteContainer(host, container, what);
      if (what === "started") transitions.noteStarted(container.taskId);
      if (what === "started" || what === "health") rollbacks.noteContainer(container.serviceId);
      contact.look();
      if (what !== "started") return;
      copies.look();
      jobs.look();
      leases.onStarted(host, container);
      memberships.onStarted(host, container);
    },
    onTables: (host) => tables.onTables(host),
    onOrder(host, kind, containerId) {
      checkOrder(scene, host, kind, containerId);
      if (kind === "stop") drains.onStop(host, containerId);
    },
  });

  const look = (): void => {
    contact.look();
    copies.look();
    answers.look();
    ingress.look();
    reports.look();
    if (scheduler.nowMs > history.healAtMs) convergence.look();
    for (const sinceMs of cluster.user.waiting.values()) {
      if (scheduler.nowMs - sinceMs > LONGEST_CALL_MS)
        report("L4", "a call has no answer after its deadline");
    }
    for (const bug of world.bugs) report("BUG", bug);
    isStopped = violations.length > 0 || convergence.isOver;
    scheduler.quietly(LOOK_MS, look);
  };
  scheduler.quietly(LOOK_MS, look);
  return {
    violations,
    get isOver() {
      return isStopped;
    },
    end() {
      if (!convergence.isOver && violations.length === 0)
        report("L1", "the history ended before everything had settled");
    },
  };
}
