import { type HostListener, type IngressEntry, PortSpec_Protocol, type TaskStatus } from "@berth/proto";

/** Maximum number of listeners in a node description, which the leader stores as one record. */
const MAX_LISTENERS = 256;
/** First port that Linux assigns to clients. A UDP client that waits for a reply looks like a server. */
const FIRST_EPHEMERAL_PORT = 32_768;

/** A port that berth uses, on any address. */
export interface BerthPort {
  readonly protocol: PortSpec_Protocol;
  readonly port: number;
}

/** Yields the ports of the ingress process, and the host ports of berth's containers. */
export function* listBerthPorts(
  entries: readonly IngressEntry[],
  statuses: Iterable<TaskStatus>,
): Generator<BerthPort> {
  for (const { protocol, published } of entries) yield { protocol, port: published };
  for (const { ports } of statuses) {
    for (const { protocol, hostPort } of ports) yield { protocol, port: hostPort };
  }
}

/**
 * Finds the ports that programs other than berth listen on. A listener counts when two updates in a row contain it: a
 * container that has just started listens before its host ports are known.
 */
export class ForeignListeners {
  #before: ReadonlySet<string> = new Set();

  /** Returns the foreign listeners, lowest port first. */
  update(listeners: readonly HostListener[], berthPorts: Iterable<BerthPort>): readonly HostListener[] {
    const berthKeys = new Set(Array.from(berthPorts, portKey));
    const foreign = new Map<string, HostListener>();
    for (const listener of listeners) {
      if (!isServer(listener) || berthKeys.has(portKey(listener))) continue;
      foreign.set(`${listener.address}/${portKey(listener)}`, listener);
    }
    const confirmed = [...foreign].filter(([key]) => this.#before.has(key)).map(([, listener]) => listener);
    this.#before = new Set(foreign.keys());
    return confirmed.sort(byPort).slice(0, MAX_LISTENERS);
  }
}

const isServer = ({ protocol, port }: HostListener): boolean =>
  protocol === PortSpec_Protocol.TCP || port < FIRST_EPHEMERAL_PORT;

const portKey = ({ protocol, port }: BerthPort): string => `${protocol}/${port}`;

const byPort = (a: HostListener, b: HostListener): number =>
  a.port - b.port || a.protocol - b.protocol || (a.address < b.address ? -1 : 1);
