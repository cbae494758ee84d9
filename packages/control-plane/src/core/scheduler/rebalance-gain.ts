import type { ClusterView, NodeView } from "../model.js";
import { addTask, type Candidate, candidateOf } from "./candidate.js";
import type { RebalanceCandidate } from "./mover.js";
import type { ResourceRequest } from "./occupancy.js";
import { spreadCounts } from "./spread-path.js";

/** What the fuller of two nodes must be relieved of at least, as a share of it: a move restarts a task. */
const WORTHWHILE_SHARE = 0.1;

export interface ProposedMove {
  readonly from: string;
  readonly to: string;
  readonly mover: RebalanceCandidate;
  /** With the task on neither node. */
  readonly cluster: ClusterView;
}

/** Why a task is better on another node than back where it was, for a person; undefined when it is not. */
export type Improvement = (weighed: ProposedMove) => string | undefined;

/** What to gain, the most important first: a later one never costs any of an earlier one. */
export const IMPROVEMENTS: readonly Improvement[] = [evenerSpread, lessLoad];

function evenerSpread(weighed: ProposedMove): string | undefined {
  const { requirements: need, name } = weighed.mover;
  const { here, there, level } = compared(weighed);
  const [more = 0, fewer = 0] = [here[level], there[level]];
  if (fewer >= more) return undefined;
  return `${name} is uneven over ${need.spread[level] ?? "nodes"}: ${tasksText(more + 1)} against ${fewer}`;
}

/** A service that reserves nothing moves no reservation: of such the number of tasks is all that is known. */
function lessLoad(weighed: ProposedMove): string | undefined {
  const { from, to, cluster, mover } = weighed;
  const [source, target] = [cluster.nodes.get(from), cluster.nodes.get(to)];
  if (source === undefined || target === undefined || compared(weighed).level >= 0) return undefined;
  const { resources: demand } = mover.requirements;
  const [before, after] = [withOneMore(source, demand), withOneMore(target, demand)];
  if (demand.nanoCpus > 0 || demand.memoryBytes > 0) {
    if (after.share + WORTHWHILE_SHARE > before.share) return undefined;
    return `its node has ${percentText(before.share)} reserved, the other one will have ${percentText(after.share)}`;
  }
  if (after.tasks >= before.tasks) return undefined;
  return `its node runs ${tasksText(before.tasks)}, the other one ${after.tasks - 1}`;
}

/** The tasks of the service around both nodes, at each level, and the first level that differs; -1: none does. */
function compared({ from, to, mover, cluster }: ProposedMove): {
  readonly here: readonly number[];
  readonly there: readonly number[];
  readonly level: number;
} {
  const countsAt = spreadCounts(mover.load.tasksByNode, cluster.nodes, mover.requirements.spread);
  const [here, there] = [countsAt(from), countsAt(to)];
  return { here, there, level: here.findIndex((count, at) => count !== there[at]) };
}

function withOneMore(view: NodeView, demand: ResourceRequest): Candidate {
  const candidate = candidateOf(view, { room: 1, staying: 0 });
  addTask(candidate, demand);
  return candidate;
}

const percentText = (share: number): string => `${Math.round(share * 100)} %`;

const tasksText = (count: number): string => (count === 1 ? "1 task" : `${count} tasks`);
