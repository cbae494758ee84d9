import { type HostListener, PortSpec_Protocol } from "@berth/proto";

/** The description of a node travels, and is stored, as a whole. */
const MAX_LISTENERS = 256;

/** From here on Linux gives ports to clients; a UDP client that awaits an answer looks like a server. */
const FIRST_CLIENT_PORT = 32_768;

/** A port of the host, whatever the address. */
export interface OwnPort {
  readonly protocol: PortSpec_Protocol;
  readonly port: number;
}

/**
 * Which programs other than ours hold ports, from one look at the host after another. A listener counts once it was
 * seen twice in a row: a container that has just been started listens before its ports are known to be ours.
 */
export class ForeignListeners {
  #before: ReadonlySet<string> = new Set();

  /** The lowest ports first, as many as a description holds. */
  next(listeners: readonly HostListener[], own: Iterable<OwnPort>): readonly HostListener[] {
    const ours = new Set(Array.from(own, portKey));
    const foreign = new Map<string, HostListener>();
    for (const listener of listeners) {
      if (isServer(listener) && !ours.has(portKey(listener)))
        foreign.set(`${listener.address}/${portKey(listener)}`, listener);
    }
    const steady = [...foreign].filter(([key]) => this.#before.has(key)).map(([, listener]) => listener);
    this.#before = new Set(foreign.keys());
    return steady.sort(byPort).slice(0, MAX_LISTENERS);
  }
}

const isServer = ({ protocol, port }: HostListener): boolean =>
  protocol === PortSpec_Protocol.TCP || port < FIRST_CLIENT_PORT;

const portKey = ({ protocol, port }: OwnPort): string => `${protocol}/${port}`;

const byPort = (a: HostListener, b: HostListener): number =>
  a.port - b.port || a.protocol - b.protocol || (a.address < b.address ? -1 : 1);
