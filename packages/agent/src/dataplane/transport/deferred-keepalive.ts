import type { TcpHandle } from "../../runtime/tcp-binding.js";
import { KEEPALIVE_SECONDS } from "./transport.js";

/**
 * Enables keepalive on connections of the raw transport that have existed for half the keepalive time. Enabling it
 * takes four system calls, and most connections end long before the first probe.
 */
export class DeferredKeepalive {
  #young = new Set<TcpHandle>();
  #older = new Set<TcpHandle>();
  #timer: NodeJS.Timeout | undefined;

  add(handle: TcpHandle): void {
    this.#young.add(handle);
    this.#timer ??= setInterval(() => this.#age(), (KEEPALIVE_SECONDS * 1_000) / 4);
  }

  delete(handle: TcpHandle): void {
    if (!this.#young.delete(handle)) this.#older.delete(handle);
  }

  #age(): void {
    for (const handle of this.#older) handle.setKeepAlive(true, KEEPALIVE_SECONDS);
    this.#older = this.#young;
    this.#young = new Set();
  }
}
