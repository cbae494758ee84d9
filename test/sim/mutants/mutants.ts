/** A planted bug: replaces one text of the product's source while it is bundled. */
export interface Mutant {
  readonly name: string;
  /** What the bug does. */
  readonly what: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly search: string;
  readonly replace: string;
}

/** Plausible mistakes, each a change of one place. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "unknown-is-committed",
    what: "a transaction without an answer counts as committed: decisions are made on a stale state",
    file: "packages/control-plane/src/reconciler/transaction.ts",
    search: "await this.#readBack(changes, outcome.cause, signal);",
    replace: "state.apply(changes.map(({ change }) => ({ change, revision: 0n }))); return 'committed';",
  },
  {
    name: "no-requeue",
    what: "a plan's `requeueAtMs` is forgotten",
    file: "packages/control-plane/src/reconciler/controller.ts",
    search: "if (plan.requeueAtMs !== undefined) {",
    replace: "if (plan.requeueAtMs !== undefined && false) {",
  },
  {
    name: "surge-twice",
    what: "slots that are being replaced do not count against `parallelism`",
    file: "packages/control-plane/src/core/orchestrator/update-batch.ts",
    search: "const holder = busy[0];\n  const budget = policy.parallelism - busy.length;",
    replace: "const holder = undefined; const budget = policy.parallelism;",
  },
  {
    name: "dead-runs",
    what: "a container that was killed is called running",
    file: "packages/agent/src/core/tasks/status.ts",
    search: "if (isAlive(container)) return runningStatus(view, container, spec);",
    replace:
      "if (isAlive(container) || container.exitCode > 128) return runningStatus(view, container, spec);",
  },
  {
    name: "lost-statuses",
    what: "a new session does not repeat what the last one may have lost",
    file: "packages/agent/src/leader/send-queue.ts",
    search: "this.#statuses.resendAll();",
    replace: "",
  },
  {
    name: "no-grace",
    what: "a new leader gives agents no time to come to it",
    file: "packages/control-plane/src/core/node-health/judge-node.ts",
    search: "const heardMs = Math.max(input.lastHeartbeatMs ?? leadingSinceMs, leadingSinceMs);",
    replace: "const heardMs = input.lastHeartbeatMs ?? leadingSinceMs - 60_000;",
  },
  {
    name: "no-adoption",
    what: "an agent that starts removes what it does not know, before it has heard the leader",
    file: "packages/agent/src/tasks/reconcile-loop.ts",
    search: "else if (this.#mayRemove || record.assignment !== undefined)",
    replace: "else if (true)",
  },
  {
    name: "state-goes-back",
    what: "a late report takes a task's state back",
    file: "packages/control-plane/src/core/model/task-report.ts",
    search:
      'if (to < from) return ignored("the task is in a later state");\n  if (to !== from && isEnded(task)) return ignored("the task has ended");',
    replace: "",
  },
  {
    name: "lost-forever",
    what: "what a host runs of tasks that were given up is not removed when it is back",
    file: "packages/control-plane/src/dispatcher/assignments/assignment-feed.ts",
    search: "for (const taskId of removed) if (this.#removeTask(taskId)) removedTaskIds.push(taskId);",
    replace: "for (const taskId of removed) this.#removeTask(taskId);",
  },
  {
    name: "no-memory",
    what: "reservations of memory are not looked at",
    file: "packages/control-plane/src/core/scheduler/filters.ts",
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
    what: "a task is told to stop while hosts still send it connections",
    file: "packages/control-plane/src/dispatcher/drain-gate.ts",
    search: "return this.#drains.has(taskId);",
    replace: "return taskId === '';",
  },
  {
    name: "empty-start",
    what: "a new leader gives orders before it has read the records",
    file: "packages/control-plane/src/state/state-sync.ts",
    search: "await this.#apply(next.value);",
    replace: "",
  },
  {
    name: "no-fence",
    what: "a leader's transactions do not compare the leader key",
    file: "packages/control-plane/src/reconciler/transaction.ts",
    search: "compare: [fence, ...changes",
    replace: "compare: [...changes",
  },
  {
    name: "clock-followed",
    what: "the leader's time goes back with its host's clock, and is behind the one before",
    file: "packages/control-plane/src/runtime/steady-time.ts",
    search: "timeMs = Math.max(wallClockMs(), timeMs + (monotonicMs - lastReadMs) * SLOW_SPEED);",
    replace: "timeMs = wallClockMs();",
  },
  {
    name: "done-forgotten",
    what: "what a job has done is forgotten when its run is over",
    file: "packages/control-plane/src/core/orchestrator/reconcile-job.ts",
    search: `if (run !== undefined && (isRunActive(run) || !occupiesOrWaits(task))) continue;
    const desired = run === undefined ? DesiredState.REMOVE : DesiredState.SHUTDOWN;`,
    replace: "if (run !== undefined && isRunActive(run)) continue; const desired = DesiredState.REMOVE;",
  },
  {
    name: "all-at-once",
    what: "a job's tasks are made all at once",
    file: "packages/control-plane/src/core/orchestrator/job-run.ts",
    search: "limit: maxConcurrent(spec) - elsewhere,",
    replace: "limit: Number.POSITIVE_INFINITY,",
  },
  {
    name: "runs-meet",
    what: "a run begins though the one before is not done",
    file: "packages/control-plane/src/core/orchestrator/cron.ts",
    search: "case Concurrency.FORBID:\n      return skip(",
    replace: 'case Concurrency.FORBID: return change(status, "beside", reason); skip(',
  },
  {
    name: "time-twice",
    what: "the next time of a schedule may be the one that has just begun",
    file: "packages/control-plane/src/core/orchestrator/cron.ts",
    search: "nextRunAtMs: after(untilMs), message",
    replace: "nextRunAtMs: after(untilMs - 1), message",
  },
  {
    name: "no-gate",
    what: "it is enough that a dependency is there",
    file: "packages/control-plane/src/core/orchestrator/dependencies.ts",
    search: "if (state !== undefined && isMet(condition, state)) return [];",
    replace: "if (state !== undefined) return [];",
  },
  {
    name: "not-sticky",
    what: "a task goes anywhere, whatever node its volume is on",
    file: "packages/control-plane/src/core/scheduler/filters.ts",
    search: "passes: ({ node }) => ids.has(node.id),",
    replace: "passes: () => true,",
  },
  {
    name: "moves-start-first",
    what: "a task that is to be elsewhere runs there before it has stopped here, whatever the order",
    file: "packages/control-plane/src/core/orchestrator/slot-actions.ts",
    search: "else if (!startFirst) stop(",
    replace: "else if (!startFirst && step.cause !== 'moved') stop(",
  },
  {
    name: "scaled-short",
    what: "the replicas that a load asks for are rounded down",
    file: "packages/control-plane/src/core/orchestrator/autoscale.ts",
    search: "? current : Math.ceil(ratio * current);",
    replace: "? current : Math.floor(ratio * current);",
  },
  {
    name: "part-twice",
    what: "a host may get the part of a network that another one has",
    file: "packages/control-plane/src/core/allocator/address-pool.ts",
    search:
      "const used = new Set([...taken.map(({ base }) => indexOf(base)), ...staticAddresses.map(indexOf)]);",
    replace: "const used = new Set(staticAddresses.map(indexOf));",
  },
  {
    name: "subnet-twice",
    what: "a network may get a subnet that another one has",
    file: "packages/control-plane/src/core/allocator/address-pool.ts",
    search: "if (!taken.some((other) => subnetsOverlap(other, { base, prefix }))) return { base, prefix };",
    replace: "return { base, prefix };",
  },
  {
    name: "vip-at-once",
    what: "a virtual IP that was given back is free at once",
    file: "packages/control-plane/src/core/allocator/virtual-ips.ts",
    search: "releasedAtMs !== 0 && now - releasedAtMs >= VIP_QUARANTINE_MS;",
    replace: "releasedAtMs !== 0 && now >= 0;",
  },
  {
    name: "part-afterwards",
    what: "a host gets its part of a network after the task that needs it",
    file: "packages/control-plane/src/reconciler/plan-changes.ts",
    search: "return ranges.changes.length === 0 ? changes : [...ranges.changes, ...changes];",
    replace: "return changes;",
  },
  {
    name: "network-too-early",
    what: "a network goes while tasks that were told to stop are still in it",
    file: "packages/control-plane/src/reconciler/networks/network-removal.ts",
    search: "state.services.ofNetwork(name).size > 0 || state.nodes.tasksIn(name) > 0;",
    replace: "[...state.services.ofNetwork(name).values()].some(({ removing }) => !removing);",
  },
  {
    name: "first-network-only",
    what: "a container is started in the first of its networks alone",
    file: "packages/agent/src/core/tasks/reconcile.ts",
    search: "if (missing === undefined) {",
    replace: "if (missing === undefined || container.networks.length > 0) {",
  },
  {
    name: "network-by-name",
    what: "a network of the right name is taken for the right one",
    file: "packages/agent/src/core/networks/plan-network.ts",
    search: "const own = observed.networks.find(({ networkId }) => networkId === network.id);",
    replace:
      "const own = observed.networks.find(({ name }) => name === network.spec?.name); if (own) return { state: { kind: 'ready', dockerId: own.id }, steps: [] };",
  },
  {
    name: "networks-stay",
    what: "a host keeps its part of a network that nobody on it uses",
    file: "packages/agent/src/core/networks/plan-network.ts",
    search: 'const unused = networks.filter(({ networkId }) => networkId !== "" && !ids.has(networkId));',
    replace: "const unused = networks.filter(({ networkId }) => networkId === ids.size.toString());",
  },
  {
    name: "removal-not-retried",
    what: "a network that containers were in is not looked at again when they have gone",
    file: "packages/agent/src/networks/network-reconciler.ts",
    search: 'if (isEngineError(error, "conflict")) this.#isRemovalBlocked = true;',
    replace: 'if (isEngineError(error, "conflict")) this.#isRemovalBlocked = false;',
  },
  {
    name: "old-peers",
    what: "hosts are not told of others that come into a network",
    file: "packages/control-plane/src/dispatcher/change-notifications.ts",
    search: "for (const networkId of delta.ranges) notifyNetwork(networkId, options);",
    replace: "",
  },
  {
    name: "names-not-waited-for",
    what: "a host does not wait for its names before it says that its tables are in force",
    file: "packages/agent/src/dataplane-client/data-plane-client.ts",
    search: "await Promise.all([this.#ports.whenApplied(sequence), this.#dns.whenApplied()]);",
    replace: "[await this.#ports.applied(sequence), this.#dns !== undefined];",
  },
  {
    name: "names-forgotten",
    what: "a host that comes into a network is not told of the names that are there",
    file: "packages/control-plane/src/dispatcher/assignments/network-feed.ts",
    search: "for (const key of this.#source.dnsKeys(id)) this.#staleDnsKeys.add(key);",
    replace: "",
  },
  {
    name: "address-shared",
    what: "a service that has an address of its own may have several replicas",
    file: "packages/control-plane/src/api/services.ts",
    search: "if (fixed !== undefined && replicas > 1) {",
    replace: "if (fixed !== undefined && replicas > 99) {",
  },
  {
    name: "old-tables",
    what: "an agent that starts brings the tables on its disk to a process that has newer ones",
    file: "packages/agent/src/dataplane-client/data-plane-client.ts",
    search: "if (!this.#hasLeaderTables && !ingress.isServing) this.#restoreTables();",
    replace: "if (!this.#hasLeaderTables) this.#restoreTables();",
  },
  {
    name: "removed-too-early",
    what: "a node that is down can be removed while its at-most-one tasks may run",
    file: "packages/control-plane/src/api/nodes.ts",
    search: "if (mayRun.length > 0) throw",
    replace: "if (mayRun.length > 99) throw",
  },
  {
    name: "done-on-a-node",
    what: "what a job has done goes with the node that it was done on",
    file: "packages/control-plane/src/api/nodes.ts",
    search: "if (task.jobIteration > 0 && stateOf(task) === TaskState.COMPLETE) return [];",
    replace: "",
  },
  {
    name: "old-self",
    what: "a host that was reinstalled keeps the traffic of the node that it was",
    file: "packages/control-plane/src/core/node-health/judge-node.ts",
    search: "if (input.replacedBy !== undefined && agentMs >= replacedAfterMs(input)) {",
    replace: "if (input.replacedBy === '') {",
  },
];
