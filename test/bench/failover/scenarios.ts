import type { LabHost } from "../../../deploy/lab/lab-host.js";

/** A fault that makes a host's replicas unavailable, so that they must be replaced on other hosts. */
export interface HostLoss {
  readonly kind: "loss";
  readonly name: "worker" | "cable" | "leader";
  readonly what: string;
  /** Whether the fault affects the leader's host. */
  readonly onLeader: boolean;
  /** Completes the fault once the host is off the network. */
  readonly finish: (host: LabHost) => Promise<void>;
}

/** A fault that affects no replica, so that no replacement may be started. */
export interface FalseAlarm {
  readonly kind: "false-alarm";
  readonly name: "agent_killed" | "agent_paused" | "core_busy";
  readonly what: string;
  readonly begin: (host: LabHost) => Promise<void>;
  readonly lastsMs: number;
  readonly end: (host: LabHost) => Promise<void>;
  /** How long to watch for unwarranted replacements afterwards. */
  readonly aftermathMs: number;
}

export type Scenario = HostLoss | FalseAlarm;

const BUSY_SECONDS = 30;

export const SCENARIOS: readonly Scenario[] = [
  {
    kind: "loss",
    name: "worker",
    what: "power cut of a host other than the leader's",
    onLeader: false,
    finish: (host) => host.kill(),
  },
  {
    kind: "loss",
    name: "cable",
    what: "pulled network cable of a host other than the leader's",
    onLeader: false,
    finish: async () => {},
  },
  {
    kind: "loss",
    name: "leader",
    what: "power cut of the leader's host",
    onLeader: true,
    finish: (host) => host.kill(),
  },
  {
    kind: "false-alarm",
    name: "agent_killed",
    what: "an agent process is killed and started again",
    begin: (host) => host.killProcess("agent"),
    // Longer than the time after which the node of an unresponsive agent is marked down, plus a container start.
    lastsMs: 6_500,
    end: (host) => host.startAgent(),
    aftermathMs: 1_000,
  },
  {
    kind: "false-alarm",
    name: "agent_paused",
    what: "an agent is paused for 3 s",
    begin: (host) => host.killProcess("agent", "SIGSTOP"),
    lastsMs: 3_000,
    end: (host) => host.killProcess("agent", "SIGCONT"),
    aftermathMs: 2_500,
  },
  {
    kind: "false-alarm",
    name: "core_busy",
    what: `a core is busy for ${BUSY_SECONDS} s`,
    begin: async (host) => {
      const spin = ["timeout", String(BUSY_SECONDS), "sh", "-c", "while :; do :; done"];
      // Exits by itself, or with the lab if that is removed earlier.
      void host.exec(spin, { timeoutMs: (BUSY_SECONDS + 10) * 1_000 }).catch(() => {});
    },
    lastsMs: BUSY_SECONDS * 1_000,
    end: async () => {},
    aftermathMs: 1_000,
  },
];

/**
 * Parses a comma-separated list of names. Returns all scenarios if the list is undefined.
 *
 * @throws Error that lists the valid names
 */
export function parseScenarios(list: string | undefined): readonly Scenario[] {
  if (list === undefined) return SCENARIOS;
  return list.split(",").map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name.trim());
    if (found !== undefined) return found;
    const names = SCENARIOS.map((scenario) => scenario.name).join(", ");
    throw new Error(`unknown scenario "${name}"; use one of ${names}`);
  });
}
