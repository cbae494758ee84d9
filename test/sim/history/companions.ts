import type { Rng } from "../simulator/rng.js";
import type { CompanionDefinition, History, HistoryEvent, ServiceDefinition } from "./history.js";

/** Gives one service of some histories a companion. Uses its own random numbers, so that the rest stays as it is. */
export function withCompanions(history: History, rng: Rng): History {
  const deployed = history.events.flatMap((event) => definitionOf(event) ?? []);
  // A job cannot be an owner.
  const names = [...new Set(deployed.filter(({ job }) => job === undefined).map(({ name }) => name))];
  if (names.length === 0 || !rng.chance(0.4)) return history;
  const owner = rng.pick(names);
  const shares = rng.pick(["network", "network", "mounts", "node"] as const);
  const events = history.events.map((event): HistoryEvent => {
    const definition = definitionOf(event);
    if (definition?.name !== owner) return event;
    const companion: CompanionDefinition = { image: imageOf(rng), shares };
    return { atMs: event.atMs, action: { kind: "deploy", definition: { ...definition, companion } } };
  });
  return { ...history, events };
}

function definitionOf(event: HistoryEvent): ServiceDefinition | undefined {
  return "action" in event && event.action.kind === "deploy" ? event.action.definition : undefined;
}

function imageOf(rng: Rng): string {
  return rng.chance(0.7) ? "app:1" : rng.pick(["app:2", "stubborn:2", "crash:2", "sick:2"]);
}
