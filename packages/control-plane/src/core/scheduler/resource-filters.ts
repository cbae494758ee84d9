import type { NodeSnapshot } from "../model/snapshot.js";
import { bytesText, cpusText, nodesText } from "../model/text.js";
import type { Filter } from "./filter.js";
import type { TaskRequirements } from "./requirements.js";
import { listenerKey, portsClash } from "./resource-request.js";

/** Returns the filters that exclude nodes where another task, or a program outside of Docker, has bound a host-mode port. */
export function portFilters({ resources }: TaskRequirements): readonly Filter[] {
  return resources.hostPorts.flatMap((port) => [
    portFilter(port, { owner: "another task", boundKeys: ({ hostPorts }) => hostPorts }),
    portFilter(port, {
      owner: "another program",
      boundKeys: ({ node }) => (node.description?.listeners ?? []).map(listenerKey),
    }),
  ]);
}

/** A kind of program that can have bound a port. */
interface PortOwner {
  readonly owner: string;
  /** Returns the keys of the ports that such programs have bound on a node. */
  readonly boundKeys: (node: NodeSnapshot) => Iterable<string>;
}

function portFilter(port: string, { owner, boundKeys }: PortOwner): Filter {
  const [protocol = "", address = "", number = ""] = port.split("/");
  const name = `${address === "" ? "" : `${address}:`}${number}/${protocol}`;
  return {
    name: "host-port",
    capacity: (node) => {
      for (const key of boundKeys(node)) {
        if (portsClash(port, key)) return 0;
      }
      return 1;
    },
    explain: (count) => `port ${name} is taken by ${owner} on ${count === 1 ? "1 node" : `${count} nodes`}`,
  };
}

/** Returns the filters for the resources that a task reserves, and for the limit of tasks per node. */
export function resourceFilters({ resources, maxPerNode }: TaskRequirements): readonly Filter[] {
  const { nanoCpus, memoryBytes, pids, generic } = resources;
  return [
    ...(maxPerNode === Number.POSITIVE_INFINITY ? [] : [maxPerNodeFilter(maxPerNode)]),
    ...(nanoCpus > 0 ? [cpuFilter(nanoCpus)] : []),
    ...(memoryBytes > 0 ? [memoryFilter(memoryBytes)] : []),
    ...(pids > 0 ? [pidsFilter(pids)] : []),
    ...Array.from(generic, ([kind, perTask]) => genericFilter(kind, perTask)),
  ];
}

function maxPerNodeFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    capacity: (_node, occupied) => Math.max(0, maxPerNode - occupied),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

function cpuFilter(perTask: number): Filter {
  return {
    name: "cpu",
    capacity: ({ node, reserved }) =>
      countFitting((node.description?.nanoCpus ?? 0) - reserved.nanoCpus, perTask),
    explain: (count) => lacksText(count, cpusText(perTask)),
  };
}

function memoryFilter(perTask: number): Filter {
  return {
    name: "memory",
    capacity: ({ node, reserved }) =>
      countFitting((node.description?.memoryBytes ?? 0) - reserved.memoryBytes, perTask),
    explain: (count) => lacksText(count, `${bytesText(perTask)} of memory`),
  };
}

function pidsFilter(perTask: number): Filter {
  return {
    name: "pids",
    capacity: (snapshot) => countFitting(freePids(snapshot), perTask),
    explain: (count) =>
      lacksText(count, perTask === 1 ? "room for 1 process" : `room for ${perTask} processes`),
  };
}

function genericFilter(kind: string, perTask: number): Filter {
  return {
    name: "generic",
    capacity: ({ node, reserved }) =>
      countFitting((node.description?.generic[kind] ?? 0) - (reserved.generic.get(kind) ?? 0), perTask),
    explain: (count) => lacksText(count, `${perTask} ${kind}`),
  };
}

/** Returns the number of further processes that fit on a node. Infinity when the node reports no limit. */
function freePids({ node, reserved }: NodeSnapshot): number {
  const limit = node.description?.pids ?? 0;
  return limit === 0 ? Number.POSITIVE_INFINITY : limit - reserved.pids;
}

/** Returns how many tasks fit into the free amount of a resource. */
function countFitting(free: number, perTask: number): number {
  return Math.max(0, Math.floor(free / perTask));
}

function lacksText(count: number, resource: string): string {
  return `${nodesText(count, { one: "lacks", many: "lack" })} ${resource}`;
}
