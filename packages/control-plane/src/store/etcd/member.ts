import { scaleTiming } from "@berth/proto";
import { noop } from "cockatiel";
import { Etcd3, type IOptions } from "etcd3";
import type { EtcdTls } from "../etcd-tls.js";
import { tlsChannelOptions } from "./tls-channel.js";

/** Maximum size of a response: a page of a range read or a batch of watch events. gRPC's default is 4 MB. */
const MAX_RECEIVE_BYTES = 256 * 1024 * 1024;

/**
 * Interval of pings, which detect a dead connection below an idle watch. etcd disconnects clients that ping more often
 * than every 5 s.
 */
const PING_INTERVAL_MS = 7_000;

/** Timeout of a ping. */
const PING_TIMEOUT_MS = scaleTiming(3_000);

/**
 * Delay before the first reconnection. gRPC waits up to two minutes by default, but a restarted etcd should be found at
 * once.
 */
const RECONNECT_DELAY_MS = 50;

/** Longest delay before a reconnection. */
const MAX_RECONNECT_DELAY_MS = 1_000;

export interface MemberOptions {
  readonly endpoint: string;
  readonly callTimeoutMs: number;
  /** TLS settings. Undefined for an etcd without TLS. */
  readonly tls?: EtcdTls | undefined;
}

/**
 * The clients of one etcd member. etcd3 resets all channels of a client when one call fails in transport. With a client
 * for each purpose, a write that times out interrupts no watch and no lease renewal.
 */
export interface MemberClients {
  readonly calls: Etcd3;
  /**
   * With TLS, a connection of its own: before 3.4.25, etcd delays the events of a watch behind large responses of the same
   * connection.
   */
  readonly watches: Etcd3;
  readonly renewals: Etcd3;
}

/** The clients of one member with one certificate. They present the same certificate whenever they reconnect. */
class Connection {
  readonly clients: MemberClients;
  #users = 0;
  #isRetired = false;

  constructor(options: MemberOptions) {
    this.clients = {
      calls: new Etcd3(clientOptions(options)),
      watches: new Etcd3(clientOptions(options)),
      renewals: new Etcd3(clientOptions(options)),
    };
  }

  /** Whether the connection was retired and its last user has released it. */
  get isClosed(): boolean {
    return this.#isRetired && this.#users === 0;
  }

  /** Keeps the clients open until the returned function is called. */
  acquire(): () => void {
    this.#users += 1;
    return () => {
      this.#users -= 1;
      if (this.isClosed) this.close();
    };
  }

  /** Closes the clients when their last user has released them. */
  retire(): void {
    this.#isRetired = true;
    if (this.isClosed) this.close();
  }

  close(): void {
    const { calls, watches, renewals } = this.clients;
    for (const etcd of [calls, watches, renewals]) etcd.close();
  }
}

/**
 * One member of an etcd cluster, and the clients that are connected to it: those with the current certificate, and older
 * ones that are still in use.
 */
export class Member {
  readonly endpoint: string;
  readonly #options: Omit<MemberOptions, "tls">;
  readonly #open = new Set<Connection>();
  #current: Connection;

  constructor(options: MemberOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#current = this.#connect(options);
  }

  /** Runs a call on the current clients. */
  async use<T>(run: (clients: MemberClients) => Promise<T>): Promise<T> {
    const { clients, release } = this.acquire();
    try {
      return await run(clients);
    } finally {
      release();
    }
  }

  /** Returns the current clients for a stream. They stay open until `release` is called. */
  acquire(): { readonly clients: MemberClients; readonly release: () => void } {
    const connection = this.#current;
    return { clients: connection.clients, release: connection.acquire() };
  }

  /**
   * Uses another certificate from now on.
   *
   * @throws for a certificate that TLS cannot use; the current one then stays
   */
  updateTls(tls: EtcdTls): void {
    const retired = this.#current;
    this.#current = this.#connect({ ...this.#options, tls });
    retired.retire();
  }

  /** Closes the connections when their last users have released them. */
  retire(): void {
    this.#current.retire();
  }

  /** Closes all connections. Calls and streams in progress fail. */
  close(): void {
    for (const connection of this.#open) connection.close();
  }

  #connect(options: MemberOptions): Connection {
    for (const connection of this.#open) {
      if (connection.isClosed) this.#open.delete(connection);
    }
    const connection = new Connection(options);
    this.#open.add(connection);
    return connection;
  }
}

function clientOptions({ endpoint, callTimeoutMs, tls }: MemberOptions): IOptions {
  return {
    hosts: endpoint,
    faultHandling: { host: () => noop, global: noop },
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + callTimeoutMs }),
    grpcOptions: {
      "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
      "grpc.keepalive_time_ms": PING_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": PING_TIMEOUT_MS,
      "grpc.initial_reconnect_backoff_ms": RECONNECT_DELAY_MS,
      "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_DELAY_MS,
      ...(tls && tlsChannelOptions(endpoint, tls)),
    },
  };
}
