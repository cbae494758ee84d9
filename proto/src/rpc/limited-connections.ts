import type { Socket } from "node:net";

export interface ConnectionLimits {
  readonly total: number;
  /** Limit for the connections of one group, such as those from one source. */
  readonly perGroup: number;
}

/** Connections of a listener, with limits for their number. */
export class LimitedConnections {
  readonly #limits: ConnectionLimits;
  /** Open sockets by the key that the caller chooses. */
  readonly #sockets = new Map<string, { readonly socket: Socket; readonly group: string }>();
  readonly #countByGroup = new Map<string, number>();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Adds a connection until it is closed or deleted. Returns false when there are too many, and closes it then. */
  add(key: string, socket: Socket, group: string): boolean {
    const count = this.#countByGroup.get(group) ?? 0;
    if (this.#sockets.size >= this.#limits.total || count >= this.#limits.perGroup) {
      socket.destroy();
      return false;
    }
    this.#sockets.set(key, { socket, group });
    this.#countByGroup.set(group, count + 1);
    socket.once("close", () => {
      // A later connection can have the same key.
      if (this.#sockets.get(key)?.socket === socket) this.delete(key);
    });
    return true;
  }

  delete(key: string): void {
    const connection = this.#sockets.get(key);
    if (connection === undefined) return;
    this.#sockets.delete(key);
    const count = (this.#countByGroup.get(connection.group) ?? 1) - 1;
    if (count === 0) {
      this.#countByGroup.delete(connection.group);
    } else {
      this.#countByGroup.set(connection.group, count);
    }
  }

  closeAll(): void {
    for (const { socket } of this.#sockets.values()) socket.destroy();
  }
}
