import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";
import type { ClusterState } from "../state/cluster-state.js";
import { takeEvents, takeSnapshot, type Unreadable } from "../state/take-over.js";
import { type FollowMessage, follow } from "../store/follow.js";
import { ROOT } from "../store/keys.js";
import type { Store } from "../store/store.js";
import type { Writer } from "./writer.js";

export interface MirrorOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly state: ClusterState;
  readonly logger: Logger;
}

/**
 * Fills the state with all there is and keeps it right when somebody else edits the store: by hand, or a restore.
 * Our own writes are known before their events come and cost a look-up each.
 */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #messages: AsyncGenerator<FollowMessage>;
  readonly #signal: AbortSignal;

  constructor(options: MirrorOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#messages = follow({ store: options.store, clock: options.clock, span: { prefix: ROOT } }, signal);
  }

  /** True when everything has been read at one revision, however long that takes; false when the signal aborts before. */
  async load(): Promise<boolean> {
    for (;;) {
      const next = await this.#messages.next();
      if (next.done || this.#signal.aborted) return false;
      await this.#take(next.value);
      if (next.value.kind === "snapshot") return !this.#signal.aborted;
    }
  }

  /** Goes on from `load` until the signal aborts. */
  async run(writer: Pick<Writer, "settled">): Promise<void> {
    for await (const message of this.#messages) {
      await writer.settled();
      if (this.#signal.aborted) return;
      await this.#take(message);
    }
  }

  async #take(message: FollowMessage): Promise<void> {
    const { state, logger, clock } = this.#options;
    switch (message.kind) {
      case "snapshot":
        this.#report(await takeSnapshot(state, message, () => sleep(clock, 0, this.#signal)));
        return;
      case "events":
        this.#report(takeEvents(state, message));
        return;
      case "unreachable":
        logger.warn({ err: message.cause }, "etcd does not answer; going on with what is known");
        return;
    }
  }

  #report(unreadable: readonly Unreadable[]): void {
    for (const { key, reason } of unreadable) {
      this.#options.logger.error({ key, reason }, "a record cannot be read and is ignored");
    }
  }
}
