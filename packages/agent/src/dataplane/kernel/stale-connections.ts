import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";
import { endpointElement, type Protocol } from "./kernel-service.js";
import { BALANCED_MARK } from "./marks.js";
import { kernelEndpoint } from "./wanted.js";

/** A replica by how its packets look. */
export interface FlowEnd {
  readonly protocol: Protocol;
  readonly address: string;
  /** Undefined: all of its ports. */
  readonly port: number | undefined;
}

interface Task {
  /** Listeners that have it. */
  listeners: number;
  readonly ends: End[];
}

interface End extends FlowEnd {
  readonly element: string;
}

/**
 * Knows whose connections the kernel has to forget: of tasks that were in a table and are not any more, not even as
 * draining ones. The next packet of such a connection goes to another endpoint, which does not know it and resets
 * it: that is how a client learns of a dead host. A UDP flow just goes on with another endpoint. A task to which the
 * kernel has no way for a while, such as when the agent starts, has not vanished.
 */
export class FlowEnds {
  readonly #tasks = new Map<string, Task>();
  /** Ends of tasks that are there, by address and by element. */
  readonly #present = new Map<string, number>();
  readonly #left = new Set<string>();

  add(listener: IngressListener): void {
    for (const endpoint of endpointsOf(listener)) {
      const task = this.#tasks.get(endpoint.id) ?? { listeners: 0, ends: [] };
      this.#tasks.set(endpoint.id, task);
      task.listeners += 1;
      const reached = kernelEndpoint(endpoint);
      if (reached === undefined) continue;
      const { address, port } = reached;
      const element = endpointElement(listener.protocol, reached);
      if (task.ends.some((end) => end.element === element)) continue;
      task.ends.push({ element, protocol: listener.protocol, address, port });
      this.#count(address, 1);
      this.#count(element, 1);
    }
  }

  remove(listener: IngressListener): void {
    for (const { id } of endpointsOf(listener)) {
      const task = this.#tasks.get(id);
      if (task === undefined) continue;
      task.listeners -= 1;
      if (task.listeners === 0) this.#left.add(id);
    }
  }

  /** Those that vanished since the last time. When all of an address did, it is one end: a dead host, most likely. */
  drain(): readonly FlowEnd[] {
    const gone: End[] = [];
    for (const id of this.#left) {
      const task = this.#tasks.get(id);
      if (task === undefined || task.listeners > 0) continue;
      this.#tasks.delete(id);
      gone.push(...task.ends);
    }
    this.#left.clear();
    for (const { address, element } of gone) {
      this.#count(address, -1);
      this.#count(element, -1);
    }
    const ends = new Map<string, FlowEnd>();
    for (const { element, protocol, address, port } of gone) {
      // Docker gives out an address again: then the connections may be those of the next task.
      if (this.#present.has(element)) continue;
      const isWhole = !this.#present.has(address);
      ends.set(isWhole ? `${protocol} ${address}` : element, {
        protocol,
        address,
        port: isWhole ? undefined : port,
      });
    }
    return [...ends.values()];
  }

  #count(what: string, by: number): void {
    const count = (this.#present.get(what) ?? 0) + by;
    if (count > 0) this.#present.set(what, count);
    else this.#present.delete(what);
  }
}

/** Arguments for `conntrack`, which lists what it deletes. */
export function deletionArguments(
  { protocol, address, port }: FlowEnd,
  { isUnansweredOnly = false }: { readonly isUnansweredOnly?: boolean } = {},
): readonly string[] {
  const mark = `${BALANCED_MARK}/${BALANCED_MARK}`;
  return [
    ...["--delete", "--proto", protocol, ...(isUnansweredOnly ? ["--state", "SYN_SENT"] : [])],
    ...["--mark", mark, "--reply-src", address],
    ...(port === undefined ? [] : ["--reply-port-src", String(port)]),
  ];
}

/** Where TCP connections go that reach these nodes, by their addresses; those of endpoints that drain, too. */
export function endsOnNodes(
  listeners: Iterable<IngressListener>,
  nodes: ReadonlySet<string>,
): readonly FlowEnd[] {
  const ends = new Map<string, FlowEnd>();
  for (const listener of listeners) {
    const { protocol } = listener;
    if (protocol !== "tcp") continue;
    for (const endpoint of endpointsOf(listener)) {
      const address = nodes.has(endpoint.node ?? "") ? kernelEndpoint(endpoint)?.address : undefined;
      if (address !== undefined) ends.set(address, { protocol, address, port: undefined });
    }
  }
  return [...ends.values()];
}

function* endpointsOf({ endpoints, draining }: IngressListener): Generator<IngressEndpoint> {
  yield* endpoints;
  yield* draining;
}
