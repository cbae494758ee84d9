import {
  UpdateConfig_FailureAction as FailureAction,
  UpdateConfig_Order as Order,
  ServiceSpec,
  type ServiceSummary,
  Rollout_State as State,
} from "@berth/proto";

/**
 * Monitoring time of the rollouts: long enough to detect a crash on a busy machine, but short enough to run every row
 * of the matrix.
 */
const MONITOR_MS = 1_500;
/** Progress deadline of the rollouts. Fake containers start within this time even on a busy machine. */
const PROGRESS_DEADLINE_MS = 4_000;

export const REPLICAS = 2;

const ORDERS = { "stop-first": Order.STOP_FIRST, "start-first": Order.START_FIRST } as const;
const ACTIONS = {
  pause: FailureAction.PAUSE,
  continue: FailureAction.CONTINUE,
  rollback: FailureAction.ROLLBACK,
} as const;
/** Behavior of the new version, which is also its image name. The fake agents implement it. */
const VERSIONS = ["good", "crashing", "never-healthy", "unplaceable", "unpullable"] as const;

/** A combination of settings and behavior: one service that is updated to a second version. */
export interface MatrixRow {
  readonly name: string;
  readonly order: keyof typeof ORDERS;
  readonly action: keyof typeof ACTIONS;
  readonly version: (typeof VERSIONS)[number];
  /** Final state that the rollout must reach. */
  readonly expected: State;
}

/** The result of one row. */
export interface MatrixOutcome {
  readonly row: MatrixRow;
  readonly isLeaderKilled: boolean;
  readonly state: State;
  readonly tookMs: number;
  /** Number of tasks of the first version that kept running. */
  readonly kept: number;
  readonly failed: number;
  readonly message: string;
}

export const MATRIX: readonly MatrixRow[] = keysOf(ORDERS).flatMap((order) =>
  keysOf(ACTIONS).flatMap((action) =>
    VERSIONS.map((version) => ({
      name: `shop_${order}-${action}-${version}`,
      order,
      action,
      version,
      expected: expectedState(action, version),
    })),
  ),
);

/** Returns the spec of the first or the second version of a row's service. */
export function matrixSpec(row: MatrixRow, version: "first" | "second"): ServiceSpec {
  const isSecond = version === "second";
  const image = isSecond ? `${row.version === "unplaceable" ? "good" : row.version}:2` : "good:1";
  const constraints = isSecond && row.version === "unplaceable" ? ["node.id == nowhere"] : [];
  return ServiceSpec.fromPartial({
    name: row.name,
    stack: "shop",
    mode: { $case: "replicated", value: { replicas: REPLICAS } },
    task: { container: { image, stopGraceMs: 100 } },
    placement: { constraints },
    update: {
      order: ORDERS[row.order],
      failureAction: ACTIONS[row.action],
      monitorMs: MONITOR_MS,
      progressDeadlineMs: PROGRESS_DEADLINE_MS,
    },
  });
}

/** Returns the final state of a rollout, or undefined while it is in progress. */
export function finalState(summary: ServiceSummary | undefined): State | undefined {
  const state = summary?.service?.rollout?.state ?? State.UNSPECIFIED;
  const isInProgress =
    state === State.UNSPECIFIED || state === State.UPDATING || state === State.ROLLING_BACK;
  return isInProgress ? undefined : state;
}

/** Formats the results as a table with one line per row. */
export function matrixText(outcomes: readonly MatrixOutcome[]): string {
  const head = [
    "order",
    "failure_action",
    "new version",
    "leader",
    "outcome",
    "after",
    "kept",
    "failed",
    "message",
  ];
  const lines = outcomes.map(({ row, isLeaderKilled, state, tookMs, kept, failed, message }) => [
    row.order,
    row.action,
    row.version,
    isLeaderKilled ? "killed" : "stable",
    STATE_NAMES[state] ?? String(state),
    `${(tookMs / 1000).toFixed(1)} s`,
    `${kept}/${REPLICAS}`,
    String(failed),
    message,
  ]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((line) => line[column]?.length ?? 0)),
  );
  const text = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [head, ...lines].map(text).join("\n");
}

const STATE_NAMES: Readonly<Partial<Record<State, string>>> = {
  [State.COMPLETED]: "completed",
  [State.PAUSED]: "paused",
  [State.ROLLBACK_COMPLETED]: "rolled back",
  [State.ROLLBACK_PAUSED]: "rollback paused",
};

function expectedState(action: MatrixRow["action"], version: MatrixRow["version"]): State {
  if (version === "good" || action === "continue") return State.COMPLETED;
  return action === "pause" ? State.PAUSED : State.ROLLBACK_COMPLETED;
}

function keysOf<T extends object>(record: T): readonly (keyof T & string)[] {
  return Object.keys(record) as (keyof T & string)[];
}
