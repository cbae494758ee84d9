import { NodeState } from "@berth/proto";
import type { Leadership } from "../loop/leadership.js";
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
  const hosts = asked.map(({ id, description }) => {
    return { hostname: description?.hostname || id, answer: answers.get(id) };
  });
  return { tableVersion: tableVersion(), hosts, unasked: nodes.length - asked.length };
}
