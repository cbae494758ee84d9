import type { IngressEndpoint, IngressListener } from "../table.js";
import { endpointElement, type Protocol } from "./layout.js";
import { BALANCED_TEXT } from "./marks.js";
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
  readonly ends: Map<string, FlowEnd>;
}

/**
 * Knows whose connections the kernel has to forget: of tasks that were in a table and are not any more, not even as
 * draining ones. The next packet of such a connection goes to another endpoint, which does not know it and resets
 * it: that is how a client learns of a dead host. A UDP flow just goes on with another endpoint. A task to which the
 * kernel has no way for a while, such as when the agent starts, has not vanished.
 */
export class FlowEnds {
  readonly #tasks = new Map<string, Task>();
  readonly #endsAt = new Map<string, number>();
  readonly #left = new Set<string>();

  add(listener: IngressListener): void {
    for (const endpoint of endpointsOf(listener)) {
      const task = this.#tasks.get(endpoint.id) ?? { listeners: 0, ends: new Map() };
      this.#tasks.set(endpoint.id, task);
      task.listeners += 1;
      const reached = kernelEndpoint(endpoint);
      if (reached === undefined) continue;
      const key = endpointElement(listener.protocol, reached);
      if (!task.ends.has(key)) this.#count(reached.address, 1);
      task.ends.set(key, { protocol: listener.protocol, address: reached.address, port: reached.port });
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
    const gone: FlowEnd[] = [];
    for (const id of this.#left) {
      const task = this.#tasks.get(id);
      if (task === undefined || task.listeners > 0) continue;
      this.#tasks.delete(id);
      gone.push(...task.ends.values());
    }
    this.#left.clear();
    for (const { address } of gone) this.#count(address, -1);
    const ends = new Map<string, FlowEnd>();
    for (const each of gone) {
      const end = this.#endsAt.has(each.address) ? each : { ...each, port: undefined };
      ends.set(`${end.protocol} ${end.address} ${end.port}`, end);
    }
    return [...ends.values()];
  }

  #count(address: string, by: number): void {
    const count = (this.#endsAt.get(address) ?? 0) + by;
    if (count > 0) this.#endsAt.set(address, count);
    else this.#endsAt.delete(address);
  }
}

/** Arguments for `conntrack`. */
export function deletionArguments({ protocol, address, port }: FlowEnd): readonly string[] {
  const mark = `${BALANCED_TEXT}/${BALANCED_TEXT}`;
  return [
    ...["--delete", "--proto", protocol, "--mark", mark, "--reply-src", address],
    ...(port === undefined ? [] : ["--reply-port-src", String(port)]),
  ];
}

function* endpointsOf({ endpoints, draining }: IngressListener): Generator<IngressEndpoint> {
  yield* endpoints;
  yield* draining;
}
