import type { Caller, RpcTransport } from "@berth/proto/rpc";
import { type Logger, pino } from "pino";
import { parseServerAddress } from "../../../packages/control-plane/src/server/server-registry.js";
import { LEADER_KEY } from "../../../packages/control-plane/src/store/keys.js";
import type { WatchEvent } from "../../../packages/control-plane/src/store/store.js";
import type { SimContainer } from "../docker/sim-container.js";
import type { History } from "../history/history.js";
import { Network } from "../network/network.js";
import { simTransport } from "../network/sim-transport.js";
import type { Actor } from "../simulator/actor.js";
import { Rng } from "../simulator/rng.js";
import { Scheduler } from "../simulator/scheduler.js";
import { Trace } from "../simulator/trace.js";
import { virtualNow } from "../simulator/virtual-time.js";
import { type Commit, SimEtcd } from "../store/sim-etcd.js";
import type { ClientConnection, ConnectionOutcome } from "./sim-ingress.js";

/** Callbacks for checks. */
export interface Observer {
  onCommit?(commit: Commit): void;
  onContainer?(host: string, container: SimContainer, what: string): void;
  /** The tables of a host's ingress process have changed. */
  onTablesChanged?(host: string): void;
  /** A connection to a published port was accepted by a task, was refused, or was lost with its host. */
  onConnectionOutcome?(connection: ClientConnection, outcome: ConnectionOutcome): void;
  /** The agent of a host asks Docker to change a container. */
  onEngineCall?(host: string, kind: string, containerId: string): void;
}

export interface WorldOptions {
  readonly history: History;
  readonly keepsTrace: boolean;
}

/** The environment that all programs of a simulation share: time, the network, etcd and observers. */
export class World {
  readonly history: History;
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly network: Network;
  readonly etcd: SimEtcd;
  readonly observers: Observer[] = [];
  /** Unexpected errors. */
  readonly bugs: string[] = [];
  readonly skews = new Map<string, number>();
  /** Open connections of clients, by the full name of the service. */
  readonly loads = new Map<string, number>();
  /** Address of the server that holds the leader key. */
  leaderAddress: string | undefined;
  #ids = 0;

  constructor({ history, keepsTrace }: WorldOptions) {
    const { scheduler } = this;
    this.history = history;
    this.trace = new Trace({ nowMs: () => scheduler.nowMs, keepsLines: keepsTrace });
    this.network = new Network({ scheduler, rng: this.rng("network") });
    this.etcd = new SimEtcd({
      network: this.network,
      rng: this.rng("etcd"),
      onCommit: (commit) => this.#committed(commit),
    });
  }

  /** Returns separate random numbers for each part, so that removing an event changes little elsewhere. */
  rng(part: string): Rng {
    return new Rng(`${this.history.seed}/${part}`);
  }

  skewMs(host: string): number {
    return this.skews.get(host) ?? 0;
  }

  nowOf(host: string): number {
    return virtualNow({ scheduler: this.scheduler, skewMs: () => this.skewMs(host) });
  }

  newId(): string {
    this.#ids += 1;
    return `x${String(this.#ids).padStart(5, "0")}`;
  }

  transport(actor: Actor, caller: Caller): RpcTransport {
    return simTransport({
      network: this.network,
      actor,
      caller,
      onBug: (where, error) => this.bug(actor.name, `${where}: ${textOf(error)}`),
      onMessage: (to, path, bytes) => this.trace.count(to.name, path, bytes.length),
    });
  }

  bug(who: string, what: string): void {
    this.bugs.push(`${who}: ${what}`);
    this.trace.note(who, `BUG ${what}`);
  }

  /** Returns a logger. Logged errors are bugs; other lines are recorded in the trace. */
  logger(name: string): Logger {
    const level = this.trace.isRecorded ? "info" : "error";
    return pino({ level, base: {}, timestamp: false }, { write: (line: string) => this.#logged(name, line) });
  }

  #logged(name: string, line: string): void {
    const { level, msg, err, ...rest } = JSON.parse(line);
    const cause = err === undefined ? "" : ` (${err.message})`;
    this.trace.note(
      name,
      `${msg}${cause} ${Object.entries(rest)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(" ")}`,
    );
    if (level >= ERROR_LEVEL && !isExpected(err?.type)) this.bug(name, `${msg}${cause}\n${err?.stack ?? ""}`);
  }

  #committed(commit: Commit): void {
    const who = commit.server?.name ?? "etcd";
    for (const event of commit.events) {
      if (event.key === LEADER_KEY) this.leaderAddress = addressOf(event);
    }
    for (const event of commit.events)
      this.trace.add(who, `${event.kind} ${event.key}`, this.#valueOf(event));
    for (const observer of this.observers) observer.onCommit?.(commit);
  }

  #valueOf(event: WatchEvent): string {
    if (event.kind !== "put" || !this.trace.isRecorded) return "";
    return ` ${event.entry.value.length > 400 ? `${event.entry.value.slice(0, 400)}…` : event.entry.value}`;
  }
}

function addressOf(event: WatchEvent): string | undefined {
  return event.kind === "put" ? parseServerAddress(event.entry.value) : undefined;
}

/** pino's number for the level "error". */
const ERROR_LEVEL = 50;

/** A BerthError or an error of Docker is not a bug, even when it is logged as an error. */
function isExpected(type: unknown): boolean {
  return type === "BerthError" || type === "EngineError";
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
