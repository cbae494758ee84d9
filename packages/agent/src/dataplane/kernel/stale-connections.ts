import type { IngressEndpoint, IngressListener } from "../table/ingress-table.js";
import { endpointElement, type Protocol, toKernelEndpoint } from "./kernel-service.js";
import { ReferenceCountedSet } from "./reference-counted-set.js";
import { BALANCED_MARK, markFilter } from "./service-chain.js";

const BALANCED_FILTER = markFilter(BALANCED_MARK, { isUnansweredOnly: false });

/** The endpoint side of balanced connections, as conntrack records it. */
export interface ConnectionTarget {
  readonly protocol: Protocol;
  readonly address: string;
  /** Undefined for all ports of the address. */
  readonly port: number | undefined;
}

/** A target with connections that the kernel should stop tracking. */
export interface StaleTarget extends ConnectionTarget {
  /** Returns whether a task that was added since has the target's address, or the target serves again. */
  readonly isReused: () => boolean;
}

interface TrackedTarget extends ConnectionTarget {
  /** The target's nftables element. */
  readonly element: string;
}

interface TrackedTask {
  /** Number of listeners that have the task as an endpoint. */
  listenerCount: number;
  readonly targets: TrackedTarget[];
}

/**
 * Finds tasks that left all listeners and are not draining in any. The kernel has to stop tracking their connections:
 * the next packet then goes to another endpoint, which resets the connection. In this way, clients learn of a dead host.
 * UDP flows continue with another endpoint.
 *
 * A task to which the kernel has no route for a while, as when the agent starts, counts as present.
 */
export class VanishedTargets {
  readonly #tasks = new Map<string, TrackedTask>();
  /** Number of targets of present tasks that have an address or an element. */
  readonly #present = new Map<string, number>();
  readonly #removedTasks = new Set<string>();

  add(listener: IngressListener): void {
    for (const endpoint of endpointsOf(listener)) {
      const task = this.#tasks.get(endpoint.id) ?? { listenerCount: 0, targets: [] };
      this.#tasks.set(endpoint.id, task);
      task.listenerCount += 1;
      const kernelEndpoint = toKernelEndpoint(endpoint);
      if (kernelEndpoint === undefined) continue;
      const { address, port } = kernelEndpoint;
      const element = endpointElement(listener.protocol, kernelEndpoint);
      if (task.targets.some((target) => target.element === element)) continue;
      task.targets.push({ element, protocol: listener.protocol, address, port });
      this.#addReferences(address, 1);
      this.#addReferences(element, 1);
    }
  }

  remove(listener: IngressListener): void {
    for (const { id } of endpointsOf(listener)) {
      const task = this.#tasks.get(id);
      if (task === undefined) continue;
      task.listenerCount -= 1;
      if (task.listenerCount === 0) this.#removedTasks.add(id);
    }
  }

  /** Returns the targets that vanished since the last call. All targets of an address are merged into one. */
  drain(): readonly StaleTarget[] {
    const vanished: TrackedTarget[] = [];
    for (const id of this.#removedTasks) {
      const task = this.#tasks.get(id);
      if (task === undefined || task.listenerCount > 0) continue;
      this.#tasks.delete(id);
      vanished.push(...task.targets);
    }
    this.#removedTasks.clear();
    for (const { address, element } of vanished) {
      this.#addReferences(address, -1);
      this.#addReferences(element, -1);
    }
    const targets = new Map<string, StaleTarget>();
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

  /** Returns whether a task, which may be draining, has the address and port. */
  isPresent({ protocol, address, port }: ConnectionTarget): boolean {
    return this.#present.has(port === undefined ? address : endpointElement(protocol, { address, port }));
  }

  #addReferences(key: string, by: number): void {
    const count = (this.#present.get(key) ?? 0) + by;
    if (count > 0) this.#present.set(key, count);
    else this.#present.delete(key);
  }
}

/**
 * Finds withdrawn TCP targets, which no longer get new connections. They may be dead, so clients that wait for a
 * response should try another endpoint.
 */
export class WithdrawnTargets {
  /** Addresses and nftables elements of the endpoints that get new connections. */
  readonly #addresses = new ReferenceCountedSet();
  readonly #elements = new ReferenceCountedSet();

  add(listener: IngressListener): void {
    for (const { address, element } of servingTargets(listener)) {
      this.#addresses.add(address);
      this.#elements.add(element);
    }
  }

  remove(listener: IngressListener): void {
    for (const { address, element } of servingTargets(listener)) {
      this.#addresses.remove(address);
      this.#elements.remove(element);
    }
  }

  /** Returns the targets that were withdrawn since the last call. All targets of an address are merged into one. */
  drain(): readonly StaleTarget[] {
    const protocol: Protocol = "tcp";
    const addresses = this.#addresses.drain().deleted;
    const whole = new Set(addresses);
    const elements = this.#elements.drain().deleted.flatMap((element) => {
      const [address = "", , port] = element.split(" . ");
      return whole.has(address) ? [] : [{ element, address, port: Number(port) }];
    });
    return [
      ...addresses.map((address) => ({
        protocol,
        address,
        port: undefined,
        isReused: () => this.#addresses.has(address),
      })),
      ...elements.map(({ element, address, port }) => ({
        protocol,
        address,
        port,
        isReused: () => this.#elements.has(element),
      })),
    ];
  }
}

function* servingTargets({ protocol, endpoints }: IngressListener): Generator<TrackedTarget> {
  if (protocol !== "tcp") return;
  for (const endpoint of endpoints) {
    const kernelEndpoint = toKernelEndpoint(endpoint);
    if (kernelEndpoint === undefined) continue;
    const { address, port } = kernelEndpoint;
    yield { protocol, address, port, element: endpointElement(protocol, kernelEndpoint) };
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

/**
 * States of the TCP connections to delete when their endpoint is gone. In CLOSE_WAIT, one side can still send. Closed
 * connections stay: conntrack deletes by addresses and ports, and reads its list tens of milliseconds earlier. The client
 * may have reused the port of a closed connection meanwhile, and the deletion would reset the new one.
 */
const OPEN_TCP_STATES = ["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"] as const;
const UNANSWERED_STATE = "SYN_SENT";

/** Returns arguments for `conntrack` that delete the open TCP connections with a mark, first the unanswered ones. */
export function tcpDeletions({
  mark,
  isUnansweredOnly,
}: {
  readonly mark: string;
  readonly isUnansweredOnly: boolean;
}): readonly (readonly string[])[] {
  const states = isUnansweredOnly ? [UNANSWERED_STATE] : OPEN_TCP_STATES;
  return states.map((state) => [
    ...["--delete", "--proto", "tcp", "--state", state],
    ...["--mark", markFilter(mark, { isUnansweredOnly: state === UNANSWERED_STATE })],
  ]);
}

export interface DeletionOptions {
  readonly isUnansweredOnly?: boolean;
}

/**
 * Returns arguments for `conntrack` that delete the open connections to a target and list them, for each run of it.
 * Unanswered connections come first.
 */
export function deletionArgs(
  target: ConnectionTarget,
  { isUnansweredOnly = false }: DeletionOptions = {},
): readonly (readonly string[])[] {
  const { protocol, address, port } = target;
  const to = ["--reply-src", address, ...(port === undefined ? [] : ["--reply-port-src", String(port)])];
  if (protocol === "udp") return [["--delete", "--proto", protocol, "--mark", BALANCED_FILTER, ...to]];
  return tcpDeletions({ mark: BALANCED_MARK, isUnansweredOnly }).map((args) => [...args, ...to]);
}

function* endpointsOf({ endpoints, draining }: IngressListener): Generator<IngressEndpoint> {
  yield* endpoints;
  yield* draining;
}
