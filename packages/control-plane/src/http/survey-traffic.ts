import { type Node, NodeState } from "@berth/proto";
import type { Leadership } from "../server/leadership.js";
import type { TrafficSurvey } from "./traffic-metrics.js";

/** Where there are more hosts than that, each of them is asked by Prometheus itself (`berth agent --metrics`). */
const MAX_HOSTS = 250;
/** The agents have a second to answer. */
const DEADLINE_MS = 3_000;

/** Asks all hosts that are up what their ingress has done, for all services. */
export async function surveyTraffic({
  state,
  counters,
  tableVersion,
}: Pick<Leadership, "state" | "counters" | "tableVersion">): Promise<TrafficSurvey> {
  const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  const asked = nodes.length > MAX_HOSTS ? [] : nodes;
  const ids = asked.map(({ id }) => id);
  const answers = await counters.ask("", ids, AbortSignal.timeout(DEADLINE_MS));
  const counts = new Map<string, number>();
  for (const node of asked) counts.set(hostnameOf(node), (counts.get(hostnameOf(node)) ?? 0) + 1);
  const hosts = asked.map((node) => {
    const hostname = hostnameOf(node);
    // Two series of one name would be one to Prometheus, which drops what comes second.
    const isAlone = counts.get(hostname) === 1;
    return { hostname: isAlone ? hostname : `${hostname} (${node.id})`, answer: answers.get(node.id) };
  });
  return { tableVersion: tableVersion(), hosts, unasked: nodes.length - asked.length };
}

const hostnameOf = ({ id, description }: Node): string => description?.hostname || id;
