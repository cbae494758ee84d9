import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import {
  type CallContext,
  forwardService,
  type RpcClient,
  type RpcConnection,
  type RpcHandlers,
  type RpcTransport,
} from "@berth/proto/rpc";
import { linkSignals } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { noLeader, type Role, type Target } from "./role.js";

/** A failover that is under way is bridged: callers see it as a slow answer. */
const MAX_WAIT_MS = 5_000;

/** Before a leader that did not answer is asked again. */
const RETRY_MS = 100;

type Control = typeof ControlServiceService;
type Handlers = RpcHandlers<Control>;
type Method = (input: never, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

export interface ControlRouterOptions {
  readonly role: Role;
  readonly clock: Clock;
  readonly transport: RpcTransport;
}

/**
 * The Control service of any server: answers where this server leads, passes on to the leader where it does not.
 * Calls that fail because the leader has just gone are made again with the next one. All of them can be repeated but
 * those that bring a stream: it is read once.
 */
export class ControlRouter {
  readonly handlers: Handlers;
  readonly #role: Role;
  readonly #clock: Clock;
  readonly #transport: RpcTransport;
  readonly #forward: Handlers;
  #connection: RpcConnection<Control> | undefined;

  constructor({ role, clock, transport }: ControlRouterOptions) {
    this.#role = role;
    this.#clock = clock;
    this.#transport = transport;
    this.#forward = forwardService(ControlServiceService, async () => this.#leader());
    const entries = Object.entries(ControlServiceService).map(([name, method]) => {
      const key = name as keyof Control;
      return [name, this.#route(key, method)] as const;
    });
    this.handlers = Object.fromEntries(entries) as unknown as Handlers;
  }

  close(): void {
    this.#connection?.close();
  }

  #route(name: keyof Control, method: Control[keyof Control]): Method {
    if (method.requestStream) return (input, context) => this.#relayOnce(name, input, context);
    return method.responseStream ? this.#stream(name) : this.#once(name);
  }

  async *#relayOnce(name: keyof Control, input: never, context: CallContext): AsyncGenerator<unknown> {
    const target = await this.#target(this.#clock.nowMs() + MAX_WAIT_MS, context);
    yield* this.#method(name, target)(input, context) as AsyncIterable<unknown>;
  }

  #once(name: keyof Control): Method {
    return async (input, context) => {
      const giveUpMs = this.#clock.nowMs() + MAX_WAIT_MS;
      for (;;) {
        const target = await this.#target(giveUpMs, context);
        const bound = this.#boundTo(target, context);
        try {
          return await this.#method(name, target)(input, bound.context);
        } catch (error) {
          await this.#pauseOrThrow(error, giveUpMs, context);
        } finally {
          bound.release();
        }
      }
    };
  }

  #stream(name: keyof Control): Method {
    return (input, context) => this.#relay(name, input, context);
  }

  async *#relay(name: keyof Control, input: never, context: CallContext): AsyncGenerator<unknown> {
    const giveUpMs = this.#clock.nowMs() + MAX_WAIT_MS;
    for (let hasBegun = false; ; ) {
      const target = await this.#target(giveUpMs, context);
      const bound = this.#boundTo(target, context);
      try {
        const messages = this.#method(name, target)(input, bound.context) as AsyncIterable<unknown>;
        for await (const message of messages) {
          hasBegun = true;
          yield message;
        }
        return;
      } catch (error) {
        if (hasBegun) throw error;
        await this.#pauseOrThrow(error, giveUpMs, context);
      } finally {
        bound.release();
      }
    }
  }

  #method(name: keyof Control, target: Target): Method {
    const handlers = target.kind === "self" ? target.leadership.control : this.#forward;
    return handlers[name] as Method;
  }

  async #target(giveUpMs: number, { signal, forwarded }: CallContext): Promise<Target> {
    const waitMs = Math.max(0, giveUpMs - this.#clock.nowMs());
    const target = await this.#role.waitForTarget(waitMs, signal);
    // Whoever passed the call on saw this server lead; passing it on again could go round in circles.
    if (forwarded && target.kind === "other") throw noLeader();
    return target;
  }

  async #pauseOrThrow(error: unknown, giveUpMs: number, context: CallContext): Promise<void> {
    const isGone =
      isBerthError(error, "BERTH_NOT_LEADER") ||
      isBerthError(error, "BERTH_NO_LEADER") ||
      isBerthError(error, "BERTH_SERVER_UNREACHABLE");
    if (!isGone || context.forwarded || this.#clock.nowMs() + RETRY_MS > giveUpMs) throw error;
    await sleep(this.#clock, RETRY_MS, context.signal);
    context.signal.throwIfAborted();
  }

  /**
   * The context of a call that is passed on: it also ends when the leader is gone, which a leader whose host has lost
   * its power cannot say.
   */
  #boundTo(target: Target, context: CallContext): { readonly context: CallContext; release(): void } {
    if (target.kind === "self") return { context, release: () => {} };
    const { address } = target;
    const link = linkSignals(context.signal);
    const forget = this.#role.onDeparture(address, () => link.abort(departed(address)));
    const release = (): void => {
      forget();
      link.unlink();
    };
    return { context: { ...context, signal: link.signal }, release };
  }

  #leader(): RpcClient<Control> {
    const { target } = this.#role;
    if (target?.kind !== "other") throw noLeader();
    if (this.#connection?.address !== target.address) {
      this.#connection?.close();
      this.#connection = this.#transport.connect(ControlServiceService, {
        address: target.address,
        forwarded: true,
      });
    }
    return this.#connection.calls;
  }
}

function departed(address: string): BerthError {
  const message = `The leader at ${address} has gone while it worked on this call. Ask again.`;
  return new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message });
}
