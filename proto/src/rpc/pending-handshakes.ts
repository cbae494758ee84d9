import { isIPv6, type Socket } from "node:net";

export interface HandshakeLimits {
  readonly total: number;
  /** For one source: an IPv4 address, or an IPv6 network of 64 bits, of which a host can use every address. */
  readonly perSource: number;
}

/**
 * A pending handshake has buffers of some 50 KiB. A leader's agents all return within seconds, and those behind one
 * address translation have the same address; a rejected agent tries again.
 */
export const HANDSHAKE_LIMITS: HandshakeLimits = { total: 2_048, perSource: 512 };

/** The connections of a listener that have not finished their TLS handshake. */
export class PendingHandshakes {
  readonly #limits: HandshakeLimits;
  /** By the key that the caller chooses. */
  readonly #sockets = new Map<string, { readonly socket: Socket; readonly source: string }>();
  readonly #countBySource = new Map<string, number>();

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** Adds a connection. Returns false when there are too many, and the caller should close it. */
  add(key: string, socket: Socket): boolean {
    const source = sourceOf(socket.remoteAddress ?? "");
    const count = this.#countBySource.get(source) ?? 0;
    if (this.#sockets.size >= this.#limits.total || count >= this.#limits.perSource) return false;
    this.#sockets.set(key, { socket, source });
    this.#countBySource.set(source, count + 1);
    return true;
  }

  /** Removes a connection that has finished its handshake. */
  delete(key: string): void {
    const pending = this.#sockets.get(key);
    if (pending === undefined) return;
    this.#sockets.delete(key);
    const count = (this.#countBySource.get(pending.source) ?? 1) - 1;
    if (count === 0) this.#countBySource.delete(pending.source);
    else this.#countBySource.set(pending.source, count);
  }

  /** Removes a connection that was closed, unless a later one has its key. */
  deleteSocket(key: string, socket: Socket): void {
    if (this.#sockets.get(key)?.socket === socket) this.delete(key);
  }

  closeAll(): void {
    for (const { socket } of this.#sockets.values()) socket.destroy();
  }
}

/** Returns the source that an address counts for. */
export function sourceOf(address: string): string {
  const [, mapped] = /^::ffff:([0-9.]+)$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - last.length);
  const all = [...groups, ...Array<string>(zeros).fill("0"), ...last];
  return all.slice(0, 4).join(":");
}
