import type { LabHost } from "../../../deploy/lab/lab-host.js";

/** A fault that makes a host's replicas unavailable: they have to be replaced on other hosts. */
export interface HostLoss {
  readonly kind: "loss";
  readonly name: "worker" | "cable" | "leader";
  readonly what: string;
  /** Whether it affects the leader's host. */
  readonly onLeader: boolean;
  /** Completes the fault once the host is off the network. */
  readonly finish: (host: LabHost) => Promise<void>;
}

/** A fault without the loss of a replica: no replacement may be started. */
export interface FalseAlarm {
  readonly kind: "scare";
  readonly name: "agent_killed" | "agent_paused" | "core_busy";
  readonly what: string;
  readonly begin: (host: LabHost) => Promise<void>;
  readonly lastsMs: number;
  readonly end: (host: LabHost) => Promise<void>;
  /** Time to wait for wrong replacements. */
  readonly aftermathMs: number;
}

export type Scenario = HostLoss | FalseAlarm;

const BUSY_SECONDS = 30;

export const SCENARIOS: readonly Scenario[] = [
  {
    kind: "loss",
    name: "worker",
    what: "power cut of a host that does not lead",
    onLeader: false,
    finish: (host) => host.kill(),
  },
  {
    kind: "loss",
    name: "cable",
    what: "pulled cable of a host that does not lead",
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
    kind: "scare",
    name: "agent_killed",
    what: "an agent's process is killed, and started again",
    begin: (host) => host.killProcess("agent"),
    // Longer than an agent has to be silent before its node is marked down, plus the start of a container.
    lastsMs: 6_500,
    end: (host) => host.startAgent(),
    aftermathMs: 1_000,
  },
  {
    kind: "scare",
    name: "agent_paused",
    what: "an agent stands still for 3 s",
    begin: (host) => host.killProcess("agent", "SIGSTOP"),
    lastsMs: 3_000,
    end: (host) => host.killProcess("agent", "SIGCONT"),
    aftermathMs: 2_500,
  },
  {
    kind: "scare",
    name: "core_busy",
    what: `a core is busy for ${BUSY_SECONDS} s`,
    begin: async (host) => {
      const spin = ["timeout", String(BUSY_SECONDS), "sh", "-c", "while :; do :; done"];
      // Exits by itself, at the latest with the lab.
      void host.exec(spin, { timeoutMs: (BUSY_SECONDS + 10) * 1_000 }).catch(() => {});
    },
    lastsMs: BUSY_SECONDS * 1_000,
    end: async () => {},
    aftermathMs: 1_000,
  },
];

/** Parses a comma-separated list; all without a list. @throws Error with the valid names */
export function parseScenarios(list: string | undefined): readonly Scenario[] {
  if (list === undefined) return SCENARIOS;
  return list.split(",").map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name.trim());
    if (found !== undefined) return found;
    const names = SCENARIOS.map((scenario) => scenario.name).join(", ");
    throw new Error(`unknown scenario "${name}": ${names}`);
  });
}
