import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import { type Figure, meetsGoal, numberText, type Report } from "./report.js";

/** Directory with the reports from which the table in the README is generated, one file per benchmark. */
export const FIGURES_DIR = join(REPO_ROOT, "docs/figures");
const README = join(REPO_ROOT, "README.md");
const BEGIN = "<!-- figures:begin -->";
const END = "<!-- figures:end -->";

interface Row {
  readonly what: string;
  readonly bench: string;
  /** Names of the figures to show, in order. A pattern selects the worst of the figures that match. */
  readonly figures: readonly (string | RegExp)[];
  /** Key of the peer to show, and the peer's name in the table. */
  readonly peer?: readonly [key: string, name: string];
}

const ROWS: readonly Row[] = [
  {
    what: "a host loses power → all its replicas run on other hosts: median, worst run",
    bench: "failover",
    figures: ["failover.worker_s", "failover.worker_worst_s"],
    peer: ["swarm", "Docker Swarm"],
  },
  {
    what: "a host's network cable is pulled: median, worst run",
    bench: "failover",
    figures: ["failover.cable_s", "failover.cable_worst_s"],
    peer: ["swarm", "Docker Swarm"],
  },
  {
    what: "the leader's host loses power: median, worst run",
    bench: "failover",
    figures: ["failover.leader_s", "failover.leader_worst_s"],
    peer: ["swarm", "Docker Swarm"],
  },
  {
    what: "requests sent after the loss of a host that failed, in the worst run",
    bench: "failover",
    figures: [/_failed_requests$/],
  },
  {
    what: "replicas replaced although no host was lost (agent killed, agent paused for 3 s, a core busy for 30 s)",
    bench: "failover",
    figures: ["failover.false_deaths"],
  },
  {
    what: "failed requests during updates, scaling, drains, agent upgrades, daemon restarts and host losses, worst run: user-space proxy, kernel path",
    bench: "continuity",
    figures: [/^continuity\.userspace\..*\.failed$/, /^continuity\.kernel\..*\.failed$/],
  },
  {
    what: "requests in flight on what was killed meanwhile, worst run: user-space proxy, kernel path",
    bench: "continuity",
    figures: [/^continuity\.userspace\..*\.severed$/, /^continuity\.kernel\..*\.severed$/],
  },
  {
    what: "slowest reply on a new connection meanwhile: user-space proxy, kernel path",
    bench: "continuity",
    figures: [/^continuity\.userspace\..*_connect_s$/, /^continuity\.kernel\..*_connect_s$/],
  },
  {
    what: "placement of 10,000 tasks on 1,000 nodes; 100,000 tasks on 1,000 nodes",
    bench: "schedule",
    figures: ["schedule.10k_1k_ms", "schedule.100k_1k_ms"],
    peer: ["swarmkit (published)", "SwarmKit (published)"],
  },
  {
    what: "100,000 tasks on 1,000 simulated hosts, etcd with fsync: from the spec to received assignments",
    bench: "scale",
    figures: ["scale.tasks_per_s"],
  },
  {
    what: "loss of one of those hosts: from its detection until other hosts have its 100 tasks",
    bench: "scale",
    figures: ["scale.node_loss_ms"],
  },
  {
    what: "60 replicas over 3 hosts, from the order until all run, relative to the bare Docker API",
    bench: "deploy",
    figures: ["deploy.ratio_to_docker"],
    peer: ["swarm", "Docker Swarm"],
  },
  {
    what: "idle memory with 30 replicas and 3 published ports: server, agent, ingress process",
    bench: "idle",
    figures: ["idle.server_mb", "idle.agent_mb", "idle.ingress_mb"],
  },
  {
    what: "idle CPU of an agent; etcd writes",
    bench: "idle",
    figures: ["idle.agent_cpu_percent", "idle.etcd_writes_per_s"],
  },
  {
    what: "ingress on the kernel path, requests/s relative to HAProxy: 32 kept connections, a connection per request, 1 MiB replies",
    bench: "ingress",
    figures: [
      "ingress.kernel_vs_haproxy.keepalive_32",
      "ingress.kernel_vs_haproxy.close_32",
      "ingress.kernel_vs_haproxy.big_32",
    ],
    peer: ["haproxy", "HAProxy"],
  },
  {
    what: "ingress through the user-space proxy, the same",
    bench: "ingress",
    figures: [
      "ingress.userspace_vs_haproxy.keepalive_32",
      "ingress.userspace_vs_haproxy.close_32",
      "ingress.userspace_vs_haproxy.big_32",
    ],
    peer: ["haproxy", "HAProxy"],
  },
  {
    what: "an image of 200 MB in eight layers from a laptop to three hosts; the same with one layer changed",
    bench: "image",
    figures: ["image.first_s", "image.changed_s"],
    peer: ["registry", "registry"],
  },
  {
    what: "bytes that each host receives for each byte of the layers that it lacks: all layers, one layer",
    bench: "image",
    figures: ["image.first_bytes_ratio", "image.changed_bytes_ratio"],
    peer: ["registry", "registry"],
  },
  {
    what: "10,000 connections over 7 replicas on 3 hosts, most to fewest per replica; with one dead replica",
    bench: "dataplane",
    figures: ["ingress.balance_max_min", "ingress.balance_one_dead_max_min"],
  },
  {
    what: "1,000 services of 10 replicas in the kernel: all of them, one change, a dead host",
    bench: "dataplane",
    figures: ["ingress.load_1000x10_s", "ingress.one_change_s", "ingress.dead_host_s"],
  },
];

/**
 * Updates the figure table in the README from the stored reports.
 *
 * @throws Error if the README has no markers
 */
export function updateReadme(): void {
  const readme = readFileSync(README, "utf8");
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md has no ${BEGIN} and ${END} lines`);
  const table = figureTable((bench) => {
    const file = join(FIGURES_DIR, `${bench}.json`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Report) : undefined;
  });
  writeFileSync(README, `${readme.slice(0, begin + BEGIN.length)}\n${table}${readme.slice(end)}`);
}

/** Returns the table in Markdown. Omits the rows of benchmarks without a report. */
export function figureTable(reportOf: (bench: string) => Report | undefined): string {
  const rows = ROWS.flatMap((row) => {
    const report = reportOf(row.bench);
    return report === undefined ? [] : [rowText(row, report)];
  });
  const header = ["| what | berth | peer in the same run | goal | commit |", "|---|---|---|---|---|"];
  return `${[...header, ...rows].join("\n")}\n`;
}

function rowText({ what, figures: names, peer }: Row, { figures, commit }: Report): string {
  const selected = names.flatMap((name) => select(figures, name) ?? []);
  const values = selected.map((figure) => valueText(figure.value, figure.unit));
  const peers = peer === undefined ? [] : selected.flatMap((figure) => peerText(figure, peer[0]) ?? []);
  const peerCell = peer === undefined || peers.length === 0 ? "" : `${peer[1]} ${peers.join(" / ")}`;
  const goals = selected.map(goalCell);
  const goal = goals.every((text) => text === "") ? "" : goals.map((text) => text || "none").join(" / ");
  return `| ${[what, `**${values.join(" / ")}**`, peerCell, goal, `\`${commit}\``].join(" | ")} |`;
}

/** Returns the figure with this name, or the worst of those that match the pattern. */
function select(figures: readonly Figure[], name: string | RegExp): Figure | undefined {
  if (typeof name === "string") return figures.find((figure) => figure.name === name);
  const matches = figures.filter((figure) => name.test(figure.name));
  return matches.length === 0
    ? undefined
    : matches.reduce((worst, next) => (next.value > worst.value ? next : worst));
}

function peerText({ peer, unit }: Figure, key: string): string | undefined {
  const value = peer?.[key];
  return value === undefined ? undefined : valueText(value, unit);
}

/** Returns the goal, such as "≤ 2 s", followed by ", missed" if the figure does not meet it. */
function goalCell(figure: Figure): string {
  if (figure.goal === undefined) return "";
  const sign = figure.goal.kind === "at-least" ? "≥" : "≤";
  const text = `${sign} ${valueText(figure.goal.value, figure.unit)}`;
  return meetsGoal(figure) === false ? `${text}, missed` : text;
}

function valueText(value: number, unit: string): string {
  if (unit === "x") return `${numberText(value)} ×`;
  return unit === "requests" || unit === "replicas"
    ? numberText(value)
    : `${numberText(value)} ${unit}`.trim();
}
