import type { Actor } from "../simulator/actor.js";
import type { Network } from "./network.js";
import { Pipe } from "./pipe.js";

/** Time after which gRPC's keepalive detects a broken connection: a ping after 10 s, and 5 s for the answer. */
const KEEPALIVE_MS = 15_000;
const LOOK_MS = 5_000;

/** One end of a connection. */
export interface End {
  readonly actor: Actor;
  /** Called when this end learns that the connection is broken. */
  readonly onBroken: (reason: string) => void;
}

/**
 * A connection between two programs. It breaks at once for who outlives the other where the network allows (a reset),
 * after the keepalive where it does not, and never by itself otherwise.
 */
export class Connection {
  readonly toServer: Pipe;
  readonly toClient: Pipe;
  readonly #network: Network;
  readonly #forget: () => void;
  #isOver = false;

  constructor(network: Network, client: End, server: End) {
    this.#network = network;
    this.toServer = new Pipe(network, client.actor.host, server.actor);
    this.toClient = new Pipe(network, server.actor.host, client.actor);
    client.actor.onKill(() => this.#endOf(client, server, this.toServer));
    server.actor.onKill(() => this.#endOf(server, client, this.toClient));
    this.#forget = network.onReset((host) => {
      if (host === client.actor.host || host === server.actor.host) this.#reset(client, server);
    });
    this.#watch(client, server, this.toServer, this.toClient);
    this.#watch(server, client, this.toClient, this.toServer);
  }

  /** Closes the connection in an orderly way. */
  close(): void {
    this.#isOver = true;
    this.#forget();
  }

  #reset(client: End, server: End): void {
    const { scheduler } = this.#network;
    this.toServer.cut();
    this.toClient.cut();
    for (const end of [client, server]) {
      scheduler.after(0, end.actor, () => end.onBroken("connection reset"));
    }
    this.close();
  }

  /** The kernel resets the connections of a killed process. A host without power sends nothing. */
  #endOf(dead: End, other: End, towards: Pipe): void {
    if (this.#isOver) return;
    if (this.#network.hasPower(dead.actor.host)) towards.send(() => this.#break(other, "connection reset"));
    else this.#whenBack(dead, other);
  }

  /** A host that has restarted answers segments of the old connection with a reset. */
  #whenBack(dead: End, other: End): void {
    this.#network.onHeal(() => {
      if (this.#isOver) return;
      if (!this.#network.reaches(other.actor.host, dead.actor.host)) return this.#whenBack(dead, other);
      const { scheduler } = this.#network;
      scheduler.after(200, other.actor, () => this.#break(other, "connection reset"));
    });
  }

  #watch(own: End, other: End, out: Pipe, back: Pipe): void {
    const { scheduler } = this.#network;
    let silentSinceMs: number | undefined;
    const look = (): void => {
      if (this.#isOver || !own.actor.isAlive) return;
      const isSilent =
        !this.#network.reaches(own.actor.host, other.actor.host) ||
        !this.#network.reaches(other.actor.host, own.actor.host) ||
        !other.actor.isAlive;
      silentSinceMs = isSilent
        ? (silentSinceMs ?? out.stuckSinceMs ?? back.stuckSinceMs ?? scheduler.nowMs)
        : undefined;
      if (silentSinceMs !== undefined && scheduler.nowMs - silentSinceMs >= KEEPALIVE_MS - LOOK_MS) {
        scheduler.after(0, own.actor, () => this.#break(own, "keepalive timed out"));
      } else scheduler.afterQuiet(LOOK_MS, look);
    };
    scheduler.afterQuiet(LOOK_MS, look);
  }

  #break(end: End, reason: string): void {
    if (this.#isOver) return;
    end.onBroken(reason);
  }
}
