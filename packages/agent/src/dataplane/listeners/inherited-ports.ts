import type { HandoverState, UdpFlowHandle } from "../handover/state.js";
import { closeHandle } from "../transport/socket-handles.js";

/** The socket and flows that another process handed over for one listener. */
export interface InheritedPort {
  /** Undefined if the port has to be opened. */
  readonly socket: unknown;
  readonly flows: readonly UdpFlowHandle[];
}

/** The sockets of published ports from the predecessor of this process, by listener key. */
export class InheritedPorts {
  readonly #ports: Map<string, InheritedPort>;

  /** Closes flows whose listener has no socket. */
  constructor({ sockets, flows }: Pick<HandoverState, "sockets" | "flows">) {
    const flowsByListener = new Map<string, UdpFlowHandle[]>([...sockets.keys()].map((key) => [key, []]));
    for (const flow of flows) {
      const siblings = flowsByListener.get(flow.record.listener);
      if (siblings === undefined) closeHandle(flow.handle);
      else siblings.push(flow);
    }
    this.#ports = new Map(
      [...sockets].map(([key, socket]) => [key, { socket, flows: flowsByListener.get(key) ?? [] }]),
    );
  }

  /** Removes and returns a port: one that is closed and opened again needs a new socket. */
  take(key: string): InheritedPort {
    const port = this.#ports.get(key);
    this.#ports.delete(key);
    return port ?? { socket: undefined, flows: [] };
  }
}
