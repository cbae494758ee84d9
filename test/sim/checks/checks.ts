import { TaskState } from "@berth/proto";
import type { Cluster } from "../cluster/cluster.js";
import { LONGEST_CALL_MS } from "../cluster/user.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { Violation } from "../run-history.js";
import type { Commit } from "../store/sim-etcd.js";
import { AcknowledgedChanges } from "./acknowledged-changes.js";
import { Autoscaling } from "./autoscaling.js";
import type { CheckContext } from "./check-context.js";
import { Companions } from "./companions.js";
import { Convergence } from "./convergence.js";
import { Dependencies } from "./dependencies.js";
import { checkEngineCall } from "./engine-calls.js";
import { HeldConnections } from "./held-connections.js";
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

const CHECK_INTERVAL_MS = 100;
const MAX_VIOLATIONS = 10;

export interface Checks {
  readonly violations: readonly Violation[];
  /** Whether the simulation can end. */
  readonly isOver: boolean;
  end(): void;
}

/** Starts all checks. They run at each commit, when a container starts or ends, and ten times per second. */
export function startChecks(cluster: Cluster): Checks {
  const { world } = cluster;
  const { scheduler, history } = world;
  const violations: Violation[] = [];
  const reported = new Set<string>();
  const report = (rule: string, what: string): void => {
    if (reported.has(`${rule} ${what}`) || violations.length >= MAX_VIOLATIONS) return;
    reported.add(`${rule} ${what}`);
    violations.push({ rule, atMs: scheduler.nowMs, what });
    world.trace.note("check", `VIOLATION ${rule} ${what}`);
  };
  const records = new Records();
  const conditions = new HostConditions(cluster, records);
  const context: CheckContext = { cluster, records, conditions, report };
  const taskCounts = new TaskCounts(context);
  const acknowledgedChanges = new AcknowledgedChanges(context);
  const staleEndpoints = new StaleEndpoints(context);
  const jobs = new Jobs(context);
  const dependencies = new Dependencies(context);
  const networkAllocation = new NetworkAllocation(context);
  const autoscaling = new Autoscaling(context);
  const networkMembership = new NetworkMembership(context);
  const volumePlacement = new VolumePlacement(context);
  const companions = new Companions(context);
  const statusReports = new StatusReports(context);
  const drains = new Drains(context);
  const resumedTraffic = new ResumedTraffic(context);
  const rollbacks = new Rollbacks(context);
  const recordChanges = new RecordChanges(context);
  const heldConnections = new HeldConnections(context);
  const convergence = new Convergence(context);
  let isOver = false;

  world.observers.push({
    onCommit(commit: Commit) {
      const leaderBefore = records.leader;
      const change = records.apply(commit);
      for (const { before, after } of change.services) {
        if (before !== undefined) taskCounts.noteWanted(before);
        rollbacks.onChange(before, after);
      }
      drains.onCommit(change.tasks);
      resumedTraffic.onCommit(change.tasks);
      recordChanges.onCommit(commit, change, leaderBefore);
      for (const each of [
        jobs,
        dependencies,
        volumePlacement,
        companions,
        autoscaling,
        networkAllocation,
        networkMembership,
      ])
        each.onChange(change);
      for (const [nodeId, before] of change.nodesBefore) conditions.checkNodeDown(nodeId, before, report);
      for (const { after } of change.tasks) {
        if (after !== undefined && stateOf(after) === TaskState.NEW && after.status?.message === "") {
          report("L2", `task ${after.id} (${after.serviceName}.${after.slot}) is pending without a reason`);
        }
      }
      heldConnections.onCommit();
      conditions.update();
    },
    onContainer(host: string, container: SimContainer, what: string) {
      dependencies.noteContainer(host, container, what);
      if (what === "started") recordChanges.noteStarted(container.taskId);
      if (what === "started" || what === "health") rollbacks.noteContainer(container.serviceId);
      conditions.update();
      if (what !== "started") return;
      taskCounts.check();
      jobs.check();
      networkAllocation.onStarted(host, container);
      networkMembership.onStarted(host, container);
    },
    onTablesChanged: (host) => resumedTraffic.onTablesChanged(host),
    onConnectionOutcome: (connection, outcome) => heldConnections.onOutcome(connection, outcome),
    onEngineCall(host, kind, containerId) {
      checkEngineCall(context, host, kind, containerId);
      if (kind === "stop") drains.onStop(host, containerId);
    },
  });

  const checkPeriodically = (): void => {
    conditions.update();
    taskCounts.check();
    acknowledgedChanges.check();
    staleEndpoints.check();
    statusReports.check();
    heldConnections.check();
    companions.check();
    if (scheduler.nowMs > history.healAtMs) convergence.check();
    for (const sinceMs of cluster.user.pending.values()) {
      if (scheduler.nowMs - sinceMs > LONGEST_CALL_MS)
        report("L4", "a call has not been answered by its deadline");
    }
    for (const bug of world.bugs) report("BUG", bug);
    isOver = violations.length > 0 || convergence.isOver;
    scheduler.afterQuiet(CHECK_INTERVAL_MS, checkPeriodically);
  };
  scheduler.afterQuiet(CHECK_INTERVAL_MS, checkPeriodically);
  return {
    violations,
    get isOver() {
      return isOver;
    },
    end() {
      if (!convergence.isOver && violations.length === 0)
        report("L1", "the history ended before the cluster had converged");
    },
  };
}
