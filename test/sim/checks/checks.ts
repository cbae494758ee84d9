import { TaskState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import { LONGEST_CALL_MS } from "../cluster/user.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { Violation } from "../run-history.js";
import type { Commit } from "../store/sim-etcd.js";
import { AcknowledgedChanges } from "./acknowledged-changes.js";
import { Autoscaling } from "./autoscaling.js";
import type { CheckContext } from "./check-context.js";
import { Convergence } from "./convergence.js";
import { Dependencies } from "./dependencies.js";
import { checkEngineCall } from "./engine-calls.js";
import { HostConditions } from "./host-conditions.js";
import { Jobs } from "./jobs.js";
import { NetworkAllocation } from "./network-allocation.js";
import { NetworkMembership } from "./network-membership.js";
import { RecordChanges } from "./record-changes.js";
import { Records, stateOf } from "./records.js";
import { Rollbacks } from "./rollbacks.js";
import { StatusReports } from "./status-reports.js";
import { TaskCounts } from "./task-counts.js";
import { Drains, ResumedTraffic, StaleEndpoints } from "./traffic.js";
import { VolumePlacement } from "./volume-placement.js";

const LOOK_MS = 100;
const MAX_VIOLATIONS = 10;

export interface Checks {
  readonly violations: readonly Violation[];
  /** Whether the simulation can end. */
  readonly isOver: boolean;
  end(): void;
}

/** Starts all checks: at each commit, when a container starts or ends, and ten times a second. */
export function check(cluster: Cluster): Checks {
  const { world } = cluster;
  const { scheduler, history } = world;
  const violations: Violation[] = [];
  const said = new Set<string>();
  const report = (rule: string, what: string): void => {
    if (said.has(`${rule} ${what}`) || violations.length >= MAX_VIOLATIONS) return;
    said.add(`${rule} ${what}`);
    violations.push({ rule, atMs: scheduler.nowMs, what });
    world.trace.note("check", `VIOLATION ${rule} ${what}`);
  };
  const records = new Records();
  const contact = new HostConditions(cluster, records);
  const context: CheckContext = { cluster, records, conditions: contact, report };
  const copies = new TaskCounts(context);
  const answers = new AcknowledgedChanges(context);
  const staleEndpoints = new StaleEndpoints(context);
  const jobs = new Jobs(context);
  const dependencies = new Dependencies(context);
  const leases = new NetworkAllocation(context);
  const load = new Autoscaling(context);
  const memberships = new NetworkMembership(context);
  const volumes = new VolumePlacement(context);
  const reports = new StatusReports(context);
  const drains = new Drains(context);
  const resumedTraffic = new ResumedTraffic(context);
  const rollbacks = new Rollbacks(context);
  const transitions = new RecordChanges(context);
  const convergence = new Convergence(context);
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
      resumedTraffic.onCommit(change.tasks);
      transitions.onCommit(commit, change, leaderBefore);
      for (const each of [jobs, dependencies, volumes, load, leases, memberships]) each.onChange(change);
      for (const [nodeId, before] of change.nodesBefore) contact.checkNodeDown(nodeId, before, report);
      for (const { after } of change.tasks) {
        if (after !== undefined && stateOf(after) === TaskState.NEW && after.status?.message === "") {
          report("L2", `task ${after.id} (${after.serviceName}.${after.slot}) waits and does not say why`);
        }
      }
      contact.update();
    },
    onContainer(host: string, container: SimContainer, what: string) {
      dependencies.noteContainer(host, container, what);
      if (what === "started") transitions.noteStarted(container.taskId);
      if (what === "started" || what === "health") rollbacks.noteContainer(container.serviceId);
      contact.update();
      if (what !== "started") return;
      copies.check();
      jobs.check();
      leases.onStarted(host, container);
      memberships.onStarted(host, container);
    },
    onTablesChanged: (host) => resumedTraffic.onTablesChanged(host),
    onEngineCall(host, kind, containerId) {
      checkEngineCall(context, host, kind, containerId);
      if (kind === "stop") drains.onStop(host, containerId);
    },
  });

  const look = (): void => {
    contact.update();
    copies.check();
    answers.check();
    staleEndpoints.check();
    reports.check();
    if (scheduler.nowMs > history.healAtMs) convergence.check();
    for (const sinceMs of cluster.user.pending.values()) {
      if (scheduler.nowMs - sinceMs > LONGEST_CALL_MS)
        report("L4", "a call has no answer after its deadline");
    }
    for (const bug of world.bugs) report("BUG", bug);
    isStopped = violations.length > 0 || convergence.isOver;
    scheduler.afterQuiet(LOOK_MS, look);
  };
  scheduler.afterQuiet(LOOK_MS, look);
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
