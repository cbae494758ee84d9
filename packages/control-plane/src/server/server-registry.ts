import { BERTH_VERSION } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import { type HeldLease, holdLease } from "../store/held-lease.js";
import { parseKey, SERVERS_PREFIX, serverKey } from "../store/keys.js";
import { listAndWatch } from "../store/list-watch.js";
import type { Entry, Store } from "../store/store.js";

/** A dead server is offered to agents for so long; a try at it costs them one refused connection. */
const TTL_SECONDS = 10;

const RETRY_MS = 1_000;

export interface ServerRegistryOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Where agents and people reach this server. */
  readonly address: string;
}

/** Tells the other servers of this one, and knows all of them. */
export class ServerRegistry {
  readonly #options: ServerRegistryOptions;
  readonly #serverId: string;
  readonly #addressByKey = new Map<string, string>();

  constructor(options: ServerRegistryOptions) {
    this.#options = options;
    this.#serverId = options.runtime.newId();
  }

  /** Addresses of all servers, this one among them. */
  addresses(): readonly string[] {
    return [...new Set([this.#options.address, ...this.#addressByKey.values()])].sort();
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#register(signal), this.#observe(signal)]);
  }

  /** Keeps this server's key there. */
  async #register(signal: AbortSignal): Promise<void> {
    const { store, runtime, logger } = this.#options;
    const { clock } = runtime;
    while (!signal.aborted) {
      let lease: HeldLease | undefined;
      try {
        lease = await holdLease({ leases: store.leases, clock, ttlSeconds: TTL_SECONDS }, signal);
        await this.#put(lease, signal);
        await lost(lease);
      } catch (error) {
        if (signal.aborted) break;
        logger.debug({ err: error }, "this server could not be registered");
      } finally {
        await lease?.release();
      }
      await sleep(clock, RETRY_MS, signal);
    }
  }

  async #put({ leaseId }: HeldLease, signal: AbortSignal): Promise<void> {
    const { store, address } = this.#options;
    const value = JSON.stringify({ address, version: BERTH_VERSION });
    const outcome = await store.txn(
      { ops: [{ kind: "put", key: serverKey(this.#serverId), value, leaseId }] },
      signal,
    );
    if (outcome.kind === "unknown") throw outcome.cause;
  }

  async #observe(signal: AbortSignal): Promise<void> {
    const { store, runtime } = this.#options;
    const span = { prefix: SERVERS_PREFIX };
    for await (const message of listAndWatch({ store, clock: runtime.clock, span }, signal)) {
      if (message.kind === "unreachable") continue;
      if (message.kind === "snapshot") {
        this.#addressByKey.clear();
        for (const entry of message.entries) this.#know(entry);
      } else {
        for (const event of message.events) {
          if (event.kind === "put") this.#know(event.entry);
          else this.#addressByKey.delete(event.key);
        }
      }
    }
  }

  #know({ key, value }: Entry): void {
    const address = addressIn(value);
    if (parseKey(key)?.kind === "server" && address !== undefined) this.#addressByKey.set(key, address);
  }
}

/** The address in a server's or the leader's record; undefined when it has none that can be read. */
export function addressIn(value: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed !== "object" || parsed === null || !("address" in parsed)) return undefined;
    return typeof parsed.address === "string" ? parsed.address : undefined;
  } catch {
    return undefined;
  }
}

function lost(lease: HeldLease): Promise<void> {
  return new Promise((resolve) => {
    onAbort(lease.lost, resolve);
  });
}
