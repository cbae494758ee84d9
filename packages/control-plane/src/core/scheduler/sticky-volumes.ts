import { Availability, type Node, NodeState, type ServiceSpec, VolumePolicy } from "@berth/proto";
import type { ClusterView } from "../model.js";
import { nodesText } from "../words.js";
import type { Filter } from "./filters.js";

/** A reason names so many hosts and counts the others. */
const MAX_NAMED_HOSTS = 3;

/**
 * Volumes of a service that exist on the host where they were made and nowhere else. One whose name is different for
 * each task cannot be looked up; a global service has its own on every node.
 */
export function stickyVolumes(spec: ServiceSpec): readonly string[] {
  if (spec.mode?.$case === "global" || spec.mode?.$case === "globalJob") return [];
  if (spec.placement?.volumes === VolumePolicy.ANY) return [];
  const names = (spec.task?.container?.mounts ?? []).flatMap(({ kind }) => {
    if (kind?.$case !== "volume") return [];
    const { name, driver } = kind.value;
    const isLocal = driver === "" || driver === "local";
    return isLocal && name !== "" && !name.includes("{{") ? [name] : [];
  });
  return [...new Set(names)];
}

/** Tasks go where their volume is, be that node up or not; a volume that no node has yet may begin anywhere. */
export function volumeFilters(volumes: readonly string[], cluster: ClusterView): readonly Filter[] {
  return volumes.flatMap((volume) => {
    const homes = nodesWith(volume, cluster);
    return homes.length === 0 ? [] : [volumeFilter(volume, homes)];
  });
}

function nodesWith(volume: string, { nodes }: ClusterView): readonly Node[] {
  const homes: Node[] = [];
  for (const { node } of nodes.values()) {
    if (node.description?.volumes.includes(volume)) homes.push(node);
  }
  return homes.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function volumeFilter(volume: string, homes: readonly Node[]): Filter {
  const ids = new Set(homes.map(({ id }) => id));
  return {
    name: "volume",
    capacity: ({ node }) => (ids.has(node.id) ? Number.POSITIVE_INFINITY : 0),
    explain: (count) =>
      `${nodesText(count, { one: "does", many: "do" })} not have volume ${volume}, which is on ${homesText(homes)}`,
  };
}

function homesText(homes: readonly Node[]): string {
  const named = homes.slice(0, MAX_NAMED_HOSTS).map(homeText);
  const others = homes.length - named.length;
  return others === 0 ? named.join(" and ") : `${named.join(", ")} and ${others} more`;
}

function homeText(node: Node): string {
  const name = node.description?.hostname || node.id;
  if (node.state !== NodeState.READY) return `${name} (down)`;
  if (node.availability === Availability.DRAIN) return `${name} (drained)`;
  return node.availability === Availability.PAUSE ? `${name} (paused)` : name;
}
