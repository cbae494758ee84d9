import type { LabHost } from "../../../deploy/lab/lab-host.js";

/** A fault in which a host's replicas are lost, or cannot be reached any more: they must run elsewhere soon. */
export interface HostLoss {
  readonly kind: "loss";
  readonly name: "worker" | "cable" | "leader";
  readonly what: string;
  /** Whether it befalls the host of the leader. */
  readonly onLeader: boolean;
  /** What is left to do once the host is off the network. */
  readonly finish: (host: LabHost) => Promise<void>;
}

/** A fault in which no replica is lost: none may be started anywhere. */
export interface FalseAlarm {
  readonly kind: "scare";
  readonly name: "agent_killed" | "agent_paused" | "core_busy";
  readonly what: string;
  readonly begin: (host: LabHost) => Promise<void>;
  readonly lastsMs: number;
  readonly end: (host: LabHost) => Promise<void>;
  /** How long a wrong conclusion may take to show. */
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
    // Longer than any silence of an agent that could be taken for its host's death, and a container's start.
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
      // Ends by itself, with the lab at the latest.
      void host.exec(spin, { timeoutMs: (BUSY_SECONDS + 10) * 1_000 }).catch(() => {});
    },
    lastsMs: BUSY_SECONDS * 1_000,
    end: async () => {},
    aftermathMs: 1_000,
  },
];

/** Those named in `list`, all when there is none. @throws Error that names those there are */
export function parseScenarios(list: string | undefined): readonly Scenario[] {
  if (list === undefined) return SCENARIOS;
  return list.split(",").map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name.trim());
    if (found !== undefined) return found;
    const names = SCENARIOS.map((scenario) => scenario.name).join(", ");
    throw new Error(`there is no scenario "${name}": ${names}`);
  });
}
