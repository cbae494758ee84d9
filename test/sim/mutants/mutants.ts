/** A planted bug: replaces one text of the product's source while it is bundled. */
export interface Mutant {
  readonly name: string;
  /** The effect of the bug. */
  readonly what: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly search: string;
  readonly replace: string;
  /** First seed to try when the bug shows in few histories only. */
  readonly from?: number;
}

/** Plausible mistakes, each a change of one place. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "unknown-is-committed",
    what: "a transaction without a reply counts as committed: the leader decides on stale state",
    file: "packages/control-plane/src/reconciler/committer.ts",
    search: "await this.#readBack(changes, outcome.cause, signal);",
    replace: "state.apply(changes.map(({ change }) => ({ change, revision: 0n }))); return 'committed';",
  },
  {
    name: "no-requeue",
    what: "a plan's `requeueAtMs` is ignored",
    file: "packages/control-plane/src/reconciler/controller.ts",
    search: "if (plan.requeueAtMs !== undefined) {",
    replace: "if (plan.requeueAtMs !== undefined && false) {",
  },
  {
    name: "surge-twice",
    what: "slots that are being updated do not count toward `parallelism`",
    file: "packages/control-plane/src/core/orchestrator/update-batch.ts",
    search: "const budget = policy.parallelism - busy.length;",
    replace: "const budget = policy.parallelism; busy.length = 0;",
  },
  {
    name: "dead-runs",
    what: "a container that was killed is reported as running",
    file: "packages/agent/src/core/tasks/status.ts",
    search: "if (isAlive(container)) return runningStatus(view, container, spec);",
    replace:
      "if (isAlive(container) || container.exitCode > 128) return runningStatus(view, container, spec);",
  },
  {
    name: "lost-statuses",
    what: "a new session does not repeat status reports that the last one may have lost",
    file: "packages/agent/src/leader/send-queue.ts",
    search: "this.#statuses.resendAll();",
    replace: "",
  },
  {
    name: "no-grace",
    what: "a new leader gives agents no time to connect",
    file: "packages/control-plane/src/core/node-health/judge-node.ts",
    search: "const heardMs = Math.max(input.lastHeartbeatMs ?? leadingSinceMs, leadingSinceMs);",
    replace: "const heardMs = input.lastHeartbeatMs ?? leadingSinceMs - 60_000;",
  },
  {
    name: "no-adoption",
    what: "an agent removes unknown containers before it has received assignments from the leader",
    file: "packages/agent/src/tasks/reconcile-loop.ts",
    search: "else if (this.#mayRemove || record.assignment !== undefined)",
    replace: "else if (true)",
  },
  {
    name: "state-goes-back",
    what: "a late report moves a task back to an earlier state",
    file: "packages/control-plane/src/core/model/task-report.ts",
    search:
      'if (to < from) return ignored("the task is in a later state");\n  if (to !== from && isEnded(task)) return ignored("the task has ended");',
    replace: "",
  },
  {
    name: "lost-forever",
    what: "the containers of lost tasks are not removed when their host returns",
    from: 150,
    file: "packages/control-plane/src/dispatcher/assignments/assignment-feed.ts",
    search: "if (this.#removeTask(taskId)) removedTaskIds.push(taskId);",
    replace: "this.#removeTask(taskId);",
  },
  {
    name: "no-memory",
    what: "memory reservations are ignored",
    file: "packages/control-plane/src/core/scheduler/resource-filters.ts",
    search: "(node.description?.memoryBytes ?? 0) - reserved.memoryBytes",
    replace: "(node.description?.memoryBytes ?? 0)",
  },
  {
    name: "drained-takes",
    what: "drained nodes get new tasks",
    file: "packages/control-plane/src/core/scheduler/filters.ts",
    search: "=> node.availability !== Availability.DRAIN;",
    replace: "=> node.id !== '';",
  },
  {
    name: "early-stop",
    what: "a task is stopped while hosts still send it connections",
    file: "packages/control-plane/src/dispatcher/drain-gate.ts",
    search: "return this.#drains.has(taskId);",
    replace: "return taskId === '';",
  },
  {
    name: "empty-start",
    what: "a new leader acts before it has read the records",
    file: "packages/control-plane/src/state/state-sync.ts",
    search: "await this.#apply(next.value);",
    replace: "",
  },
  {
    name: "no-fence",
    what: "a leader's transactions do not compare the leader key",
    file: "packages/control-plane/src/reconciler/committer.ts",
    search: "compare: [fence, ...changes",
    replace: "compare: [...changes",
  },
  {
    name: "clock-followed",
    what: "the leader's time follows its host's clock backwards",
    file: "packages/control-plane/src/runtime/steady-time.ts",
    search: "timeMs = Math.max(hasStepped ? 0 : wallMs, timeMs + elapsedMs * SLOW_SPEED);",
    replace: "timeMs = wallMs;",
  },
  {
    name: "done-forgotten",
    what: "completed tasks of a job are forgotten when its run is over",
    file: "packages/control-plane/src/core/orchestrator/reconcile-job.ts",
    search: `if (run !== undefined && (isRunActive(run) || !occupiesOrWaits(task))) continue;
    const desired = run === undefined ? DesiredState.REMOVE : DesiredState.SHUTDOWN;`,
    replace: "if (run !== undefined && isRunActive(run)) continue; const desired = DesiredState.REMOVE;",
  },
  {
    name: "all-at-once",
    what: "a job starts all of its tasks at once",
    file: "packages/control-plane/src/core/orchestrator/job-run.ts",
    search: "limit: maxConcurrent(spec) - unneededCount,",
    replace: "limit: Number.POSITIVE_INFINITY,",
  },
  {
    name: "runs-meet",
    what: "a scheduled run starts before the previous one is over",
    file: "packages/control-plane/src/core/orchestrator/cron.ts",
    search: "case Concurrency.FORBID:\n      return skip(",
    replace: 'case Concurrency.FORBID: return change(status, "beside", reason); skip(',
  },
  {
    name: "time-twice",
    what: "the next scheduled time may be the one that has just started a run",
    file: "packages/control-plane/src/core/orchestrator/cron.ts",
    search: "nextRunAtMs: after(untilMs), message",
    replace: "nextRunAtMs: after(untilMs - 1), message",
  },
  {
    name: "no-gate",
    what: "a dependency is met as soon as its service exists",
    file: "packages/control-plane/src/core/orchestrator/dependencies.ts",
    search: "if (state !== undefined && isMet(condition, state)) return [];",
    replace: "if (state !== undefined) return [];",
  },
  {
    name: "not-sticky",
    what: "a task is placed on any node, regardless of its volume",
    file: "packages/control-plane/src/core/scheduler/volume-filters.ts",
    search: "passes: ({ node }) => ids.has(node.id),",
    replace: "passes: () => true,",
  },
  {
    name: "moves-start-first",
    what: "a moved task starts before its predecessor has stopped, regardless of the order",
    file: "packages/control-plane/src/core/orchestrator/slot-actions.ts",
    search: "else if (!state.startFirst) this.#stop(",
    replace: "else if (!state.startFirst && cause !== 'moved') this.#stop(",
  },
  {
    name: "scaled-short",
    what: "the replicas that the load requires are rounded down",
    file: "packages/control-plane/src/core/orchestrator/autoscale.ts",
    search: "? current : Math.ceil(ratio * current);",
    replace: "? current : Math.floor(ratio * current);",
  },
  {
    name: "part-twice",
    what: "a node may get the range of a network that another node has",
    file: "packages/control-plane/src/core/allocator/address-pool.ts",
    search:
      "const used = new Set([...taken.map(({ base }) => indexOf(base)), ...staticAddresses.map(indexOf)]);",
    replace: "const used = new Set(staticAddresses.map(indexOf));",
  },
  {
    name: "subnet-twice",
    what: "a network may get a subnet that another network has",
    file: "packages/control-plane/src/core/allocator/address-pool.ts",
    search: "if (!taken.some((other) => subnetsOverlap(other, { base, prefix }))) return { base, prefix };",
    replace: "return { base, prefix };",
  },
  {
    name: "vip-at-once",
    what: "a released virtual IP can be allocated again at once",
    file: "packages/control-plane/src/core/allocator/virtual-ips.ts",
    search: "releasedAtMs !== 0 && now - releasedAtMs >= VIP_QUARANTINE_MS;",
    replace: "releasedAtMs !== 0 && now >= 0;",
  },
  {
    name: "part-afterwards",
    what: "a node gets its range of a network after the task that needs it",
    file: "packages/control-plane/src/reconciler/plan-changes.ts",
    search: "return ranges.changes.length === 0 ? changes : [...ranges.changes, ...changes];",
    replace: "return changes;",
  },
  {
    name: "network-too-early",
    what: "a network is removed while stopping tasks are still in it",
    file: "packages/control-plane/src/reconciler/networks/network-removal.ts",
    search: "state.services.ofNetwork(name).size > 0 || state.nodes.tasksIn(name) > 0;",
    replace: "[...state.services.ofNetwork(name).values()].some(({ removing }) => !removing);",
  },
  {
    name: "first-network-only",
    what: "a container is started in the first of its networks only",
    file: "packages/agent/src/core/tasks/reconcile.ts",
    search: "if (missing === undefined) {",
    replace: "if (missing === undefined || container.networks.length > 0) {",
  },
  {
    name: "network-by-name",
    what: "a Docker network is recognized by its name instead of its ID",
    file: "packages/agent/src/core/networks/plan-network.ts",
    search: "const existing = observed.networks.find(({ networkId }) => networkId === network.id);",
    replace:
      "const existing = observed.networks.find(({ name }) => name === network.spec?.name); if (existing) return { state: { kind: 'ready', dockerId: existing.id }, steps: [] };",
  },
  {
    name: "networks-stay",
    what: "a host keeps networks that no task on it uses",
    file: "packages/agent/src/core/networks/plan-network.ts",
    search: 'const unused = networks.filter(({ networkId }) => networkId !== "" && !ids.has(networkId));',
    replace: "const unused = networks.filter(({ networkId }) => networkId === ids.size.toString());",
  },
  {
    name: "removal-not-retried",
    what: "the removal of a network in use is not retried when its containers are gone",
    from: 101,
    file: "packages/agent/src/networks/network-reconciler.ts",
    search: 'if (isEngineError(error, "conflict")) this.#isRemovalBlocked = true;',
    replace: 'if (isEngineError(error, "conflict")) this.#isRemovalBlocked = false;',
  },
  {
    name: "old-peers",
    what: "hosts are not notified of hosts that join a network",
    file: "packages/control-plane/src/dispatcher/change-notifications.ts",
    search: "for (const networkId of delta.ranges) markNetworkStale(networkId, options);",
    replace: "",
  },
  {
    name: "names-not-waited-for",
    what: "a host acknowledges tables before its DNS entries are in force",
    file: "packages/agent/src/dataplane-client/data-plane-client.ts",
    search: "await Promise.all([this.#ports.whenApplied(sequence), this.#dns.whenApplied()]);",
    replace: "[await this.#ports.whenApplied(sequence), this.#dns !== undefined];",
  },
  {
    name: "names-forgotten",
    what: "a host that joins a network does not get the existing DNS entries",
    file: "packages/control-plane/src/dispatcher/assignments/network-feed.ts",
    search: "for (const key of this.#source.dnsKeys(id)) this.#staleDnsKeys.add(key);",
    replace: "",
  },
  {
    name: "address-shared",
    what: "a service with a static address may have several replicas",
    from: 380,
    file: "packages/control-plane/src/api/services.ts",
    search: "if (hasStaticAddress && replicas > 1) {",
    replace: "if (hasStaticAddress && replicas > 99) {",
  },
  {
    name: "old-tables",
    what: "an agent that starts applies the tables on its disk, although the ingress process has newer ones",
    from: 297,
    file: "packages/agent/src/dataplane-client/data-plane-client.ts",
    search: "if (!this.#hasLeaderTables && !ingress.isServing) this.#restoreTables();",
    replace: "if (!this.#hasLeaderTables) this.#restoreTables();",
  },
  {
    name: "removed-too-early",
    what: "a node that is down can be removed while at-most-one tasks may run on it",
    from: 237,
    file: "packages/control-plane/src/api/nodes.ts",
    search: "if (blockingTasks.length > 0) throw",
    replace: "if (blockingTasks.length > 99) throw",
  },
  {
    name: "done-on-a-node",
    what: "completed tasks of a job are removed with their node",
    from: 139,
    file: "packages/control-plane/src/api/nodes.ts",
    search: "if (task.jobIteration > 0 && stateOf(task) === TaskState.COMPLETE) return [];",
    replace: "",
  },
  {
    name: "old-self",
    what: "endpoints on the former node of a reinstalled host are kept",
    from: 50,
    file: "packages/control-plane/src/core/node-health/judge-node.ts",
    search: "if (input.replacedBy !== undefined && agentMs >= replacedAfterMs(input)) {",
    replace: "if (input.replacedBy === '') {",
  },
  {
    name: "labels-prove-owner",
    what: "a container counts as berth's because of its labels alone",
    file: "packages/agent/src/engine/container-owner.ts",
    search: 'return timingSafeEqual(proof, Buffer.from(proofOf(taskId, name))) ? taskId : "";',
    replace: "return taskId;",
  },
];
