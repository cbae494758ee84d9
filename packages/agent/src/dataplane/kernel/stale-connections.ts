import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";
import { endpointElement, type Protocol, toKernelEndpoint } from "./kernel-service.js";
import { BALANCED_MARK } from "./service-chain.js";

/** The endpoint side of balanced connections, as conntrack records it. */
export interface ConnectionTarget {
  readonly protocol: Protocol;
  readonly address: string;
  /** Undefined for all ports of the address. */
  readonly port: number | undefined;
}

interface TrackedTask {
  /** How many listeners have the task as an endpoint. */
  listeners: number;
  readonly targets: TrackedTarget[];
}

/** A target of tasks that are gone. */
export interface VanishedTarget extends ConnectionTarget {
  /** Returns whether a task that was added since has the target's address. */
  readonly isReused: () => boolean;
}

interface TrackedTarget extends ConnectionTarget {
  readonly element: string;
}

/**
 * Finds the connections that the kernel has to stop tracking: those of tasks that left all listeners, including the
 * draining ones. Once the entry is deleted, the next packet goes to another endpoint, which resets the connection; that
 * is how clients learn of a dead host. UDP flows continue with another endpoint.
 *
 * A task to which the kernel has no route for a while, as when the agent starts, counts as present.
 */
export class VanishedTargets {
  readonly #tasks = new Map<string, TrackedTask>();
  /** References by present tasks, by address and by element. */
  readonly #present = new Map<string, number>();
  readonly #removedTasks = new Set<string>();

  add(listener: IngressListener): void {
    for (const endpoint of endpointsOf(listener)) {
      const task = this.#tasks.get(endpoint.id) ?? { listeners: 0, targets: [] };
      this.#tasks.set(endpoint.id, task);
      task.listeners += 1;
      const reached = toKernelEndpoint(endpoint);
      if (reached === undefined) continue;
      const { address, port } = reached;
      const element = endpointElement(listener.protocol, reached);
      if (task.targets.some((target) => target.element === element)) continue;
      task.targets.push({ element, protocol: listener.protocol, address, port });
      this.#count(address, 1);
      this.#count(element, 1);
    }
  }

  remove(listener: IngressListener): void {
    for (const { id } of endpointsOf(listener)) {
      const task = this.#tasks.get(id);
      if (task === undefined) continue;
      task.listeners -= 1;
      if (task.listeners === 0) this.#removedTasks.add(id);
    }
  }

  /** Returns the targets that vanished since the last call. All targets of an address are merged into one. */
  drain(): readonly VanishedTarget[] {
    const vanished: TrackedTarget[] = [];
    for (const id of this.#removedTasks) {
      const task = this.#tasks.get(id);
      if (task === undefined || task.listeners > 0) continue;
      this.#tasks.delete(id);
      vanished.push(...task.targets);
    }
    this.#removedTasks.clear();
    for (const { address, element } of vanished) {
      this.#count(address, -1);
      this.#count(element, -1);
    }
    const targets = new Map<string, VanishedTarget>();
    for (const { element, protocol, address, port } of vanished) {
      // Docker reuses addresses: the connections may already belong to the next task.
      if (this.#present.has(element)) continue;
      const isWholeAddress = !this.#present.has(address);
      targets.set(isWholeAddress ? `${protocol} ${address}` : element, {
        protocol,
        address,
        port: isWholeAddress ? undefined : port,
        isReused: () => this.#present.has(isWholeAddress ? address : element),
      });
    }
    return [...targets.values()];
  }

  #count(key: string, by: number): void {
    const count = (this.#present.get(key) ?? 0) + by;
    if (count > 0) this.#present.set(key, count);
    else this.#present.delete(key);
  }
}

/** Returns the TCP targets on these nodes, by address, including draining endpoints. */
export function targetsOnNodes(
  listeners: Iterable<IngressListener>,
  nodes: ReadonlySet<string>,
): readonly ConnectionTarget[] {
  const targets = new Map<string, ConnectionTarget>();
  for (const listener of listeners) {
    const { protocol } = listener;
    if (protocol !== "tcp") continue;
    for (const endpoint of endpointsOf(listener)) {
      const address = nodes.has(endpoint.node ?? "") ? toKernelEndpoint(endpoint)?.address : undefined;
      if (address !== undefined) targets.set(address, { protocol, address, port: undefined });
    }
  }
  return [...targets.values()];
}

/** Returns arguments for `conntrack` that delete the balanced connections to a target and list them. */
export function deletionArgs(
  { protocol, address, port }: ConnectionTarget,
  { isUnansweredOnly = false }: { readonly isUnansweredOnly?: boolean } = {},
): readonly string[] {
  return [
    ...["--delete", "--proto", protocol, ...(isUnansweredOnly ? ["--state", "SYN_SENT"] : [])],
    ...["--mark", `${BALANCED_MARK}/${BALANCED_MARK}`, "--reply-src", address],
    ...(port === undefined ? [] : ["--reply-port-src", String(port)]),
  ];
}

function* endpointsOf({ endpoints, draining }: IngressListener): Generator<IngressEndpoint> {
  yield* endpoints;
  yield* draining;
}
