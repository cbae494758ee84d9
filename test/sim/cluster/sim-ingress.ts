import { ListenerManager } from "../../../packages/agent/src/dataplane/listeners/listener-manager.js";
import type { IngressTable } from "../../../packages/agent/src/dataplane/table/ingress-table.js";
import type {
  ByteStream,
  ConnectOptions,
  ListenOptions,
  StreamHandler,
  Transport,
} from "../../../packages/agent/src/dataplane/transport/transport.js";
import { Actor } from "../simulator/actor.js";
import type { Scheduler } from "../simulator/scheduler.js";

/** Duration of a handshake. It does not vary, so connections are established in the order of the attempts. */
const HANDSHAKE_MS = 1;
/** The kernel sends an unanswered SYN again after this time. */
const RETRANSMIT_MS = 1_000;

/** A client's connection to a published port. */
export interface ClientConnection {
  /** Counts the connections of its host. */
  readonly number: number;
  readonly host: string;
  readonly port: number;
  /** Full name. */
  readonly service: string;
  /** When the host accepted the connection. */
  readonly atMs: number;
}

/** `lost`: the host lost power. */
export type ConnectionOutcome = "served" | "refused" | "lost";

export interface SimIngressOptions {
  readonly host: string;
  readonly scheduler: Scheduler;
  /** Returns how the host of the task answers a SYN that is sent to the task now. */
  answerOf(taskId: string): "accepted" | "refused" | "silent";
  /** Called once for each connection. */
  onOutcome(connection: ClientConnection, outcome: ConnectionOutcome): void;
}

/**
 * The ingress process of a host, which outlives the agent: the real listeners on a simulated transport. A client sends
 * the number of its connection, and is served when a task receives it.
 */
export class SimIngress {
  readonly #options: SimIngressOptions;
  readonly #actor: Actor;
  readonly #listeners: ListenerManager;
  /** Open ports. */
  readonly #sockets = new Map<number, ListenOptions>();
  /** Connections without an outcome, by number, in order of arrival. */
  readonly #pending = new Map<
    number,
    { readonly connection: ClientConnection; readonly close: () => void }
  >();
  #connections = 0;

  constructor(options: SimIngressOptions) {
    const { host, scheduler } = options;
    this.#options = options;
    this.#actor = new Actor(`ingress@${host}`, host);
    this.#listeners = new ListenerManager({ transport: this.#transport(), now: () => scheduler.nowMs });
  }

  /** Connections without an outcome, in order of arrival. */
  get pending(): readonly ClientConnection[] {
    return [...this.#pending.values()].map(({ connection }) => connection);
  }

  /** Applies a table whose endpoints have the IDs of their tasks as addresses. */
  apply({ version, listeners }: IngressTable): void {
    const table = {
      version,
      listeners: listeners.map((listener) => ({
        ...listener,
        endpoints: listener.endpoints.map((endpoint) => ({ ...endpoint, address: endpoint.id })),
        draining: listener.draining.map((endpoint) => ({ ...endpoint, address: endpoint.id })),
      })),
    };
    this.#after(0, () => void this.#listeners.apply(table));
  }

  setSuspectNodes(nodeIds: readonly string[]): void {
    this.#after(0, () => void this.#listeners.setSuspectNodes(nodeIds));
  }

  /** Connects a client to a published port. Does nothing if the port is closed. */
  connect(port: number, service: string): void {
    this.#after(0, () => {
      const { host, scheduler } = this.#options;
      this.#connections += 1;
      const connection = { number: this.#connections, host, port, service, atMs: scheduler.nowMs };
      this.#sockets.get(port)?.onConnection(this.#clientStream(connection));
    });
  }

  /** Ends the process. */
  kill(): void {
    this.#actor.kill();
    for (const { connection } of this.#pending.values()) this.#options.onOutcome(connection, "lost");
    this.#pending.clear();
  }

  #after(delayMs: number, run: () => void): void {
    this.#options.scheduler.after(delayMs, this.#actor, run);
  }

  #settle(number: number, outcome: ConnectionOutcome): void {
    const { connection, close } = this.#pending.get(number) ?? {};
    if (connection === undefined) return;
    this.#pending.delete(number);
    this.#options.onOutcome(connection, outcome);
    if (outcome === "served") this.#after(0, () => close?.());
  }

  #transport(): Transport {
    return {
      name: "raw",
      listen: async (options) => {
        const { port } = options;
        this.#sockets.set(port, options);
        return { close: () => this.#sockets.delete(port), port, handle: undefined };
      },
      connect: (options) => this.#taskStream(options),
    };
  }

  /** Returns the stream of a client, as the listener reads it. */
  #clientStream(connection: ClientConnection): ByteStream {
    const { number } = connection;
    let handler: StreamHandler | undefined;
    this.#pending.set(number, { connection, close: () => handler?.onError("ECONNRESET") });
    const refuse = (): void => this.#settle(number, "refused");
    return {
      ...IDLE_STREAM,
      read: (reader) => {
        if (handler === undefined) this.#after(0, () => reader.onData(Buffer.from(String(number))));
        handler = reader;
      },
      close: refuse,
      reset: refuse,
    };
  }

  /** Returns the stream to a task. */
  #taskStream({ address: taskId, onConnect }: ConnectOptions): ByteStream {
    let isClosed = false;
    const attempt = (): void => {
      if (isClosed) return;
      const answer = this.#options.answerOf(taskId);
      if (answer === "silent") this.#after(RETRANSMIT_MS, attempt);
      else onConnect(answer === "accepted" ? undefined : "ECONNREFUSED");
    };
    this.#after(HANDSHAKE_MS, attempt);
    const close = (): void => {
      isClosed = true;
    };
    return {
      ...IDLE_STREAM,
      write: (chunk) => {
        this.#settle(Number(Buffer.from(chunk).toString()), "served");
        return "written";
      },
      close,
      reset: close,
    };
  }
}

const IDLE_STREAM: ByteStream = {
  read: () => {},
  pause: () => {},
  write: () => "written",
  end: () => {},
  close: () => {},
  reset: () => {},
  addresses: () => undefined,
};
