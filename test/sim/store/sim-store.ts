import { BerthError } from "@berth/proto";
import { linkSignals, onAbort } from "../../../packages/control-plane/src/runtime/abort.js";
import type {
  RangePage,
  RangeQuery,
  RenewOutcome,
  Store,
  TxnOutcome,
  TxnRequest,
  WatchMessage,
  WatchQuery,
} from "../../../packages/control-plane/src/store/store.js";
import { Connection } from "../network/connection.js";
import { MessageQueue } from "../network/message-queue.js";
import { Pipe } from "../network/pipe.js";
import type { Actor } from "../simulator/actor.js";
import { ETCD_HOST, type SimEtcd } from "./sim-etcd.js";

/** Timeout of a call, the same as in the real etcd client. */
const CALL_TIMEOUT_MS = 3_000;
/** Maximum time to sync a transaction to disk. */
const COMMIT_MS = 2;

/** Returns etcd as one server sees it: over the network, with answers that may be late or lost. */
export function simStore(etcd: SimEtcd, server: Actor): Store {
  return {
    txn: (request, signal) => txn(etcd, server, request, signal),
    range: (query, signal) => range(etcd, server, query, signal),
    watch: (query, signal) => watch(etcd, server, query, signal),
    leases: {
      grant: (ttlSeconds, signal) => {
        return ask(etcd, server, signal, () => etcd.memory.leases.grant(ttlSeconds, etcd.never));
      },
      renew: ({ leaseId, timeoutMs = CALL_TIMEOUT_MS }, signal): Promise<RenewOutcome> => {
        return ask(etcd, server, signal, () => etcd.memory.leases.renew({ leaseId }, etcd.never), timeoutMs);
      },
      revoke: (leaseId, signal) => ask(etcd, server, signal, () => etcd.revoke(leaseId)),
    },
  };
}

async function txn(
  etcd: SimEtcd,
  server: Actor,
  request: TxnRequest,
  signal: AbortSignal,
): Promise<TxnOutcome> {
  signal.throwIfAborted();
  const roll = etcd.rng.next();
  const isLost = roll < etcd.flakiness / 2;
  const isUnanswered = !isLost && roll < etcd.flakiness;
  try {
    return await ask(etcd, server, signal, async () => {
      if (isLost) throw unavailableError("the connection broke before the request");
      const outcome = await etcd.txn(server, request);
      if (isUnanswered) throw unavailableError("the connection broke before the answer");
      return outcome;
    });
  } catch (error) {
    if (error instanceof BerthError && error.code === "BERTH_ETCD_UNAVAILABLE") {
      return { kind: "unknown", cause: error };
    }
    throw error;
  }
}

async function* range(
  etcd: SimEtcd,
  server: Actor,
  query: RangeQuery,
  signal: AbortSignal,
): AsyncGenerator<RangePage> {
  const pages = await ask(etcd, server, signal, async () => {
    if (etcd.rng.next() < etcd.flakiness) throw unavailableError("the connection broke");
    const all: RangePage[] = [];
    for await (const page of etcd.memory.range(query, etcd.never)) all.push(page);
    return all;
  });
  yield* pages;
}

async function* watch(
  etcd: SimEtcd,
  server: Actor,
  query: WatchQuery,
  signal: AbortSignal,
): AsyncGenerator<WatchMessage> {
  const messages = new MessageQueue<WatchMessage>();
  const over = new AbortController();
  let nextRevision = query.fromRevision;
  const disconnect = (why: string): void => {
    messages.push({ kind: "disconnected", cause: unavailableError(why), nextRevision });
    messages.end();
  };
  const connection = new Connection(
    etcd.network,
    { actor: server, onBroken: disconnect },
    { actor: etcd.actor, onBroken: () => over.abort() },
  );
  const leave = (): void => {
    connection.toServer.send(() => over.abort());
    messages.end();
  };
  signal.addEventListener("abort", leave, { once: true });
  connection.toServer.send(
    () =>
      void pass(etcd, query, over.signal, (message) => {
        connection.toClient.send(() => messages.push(message));
      }),
  );
  try {
    for await (const message of messages) {
      if (signal.aborted) return;
      if (message.kind === "events") nextRevision = message.nextRevision;
      yield message;
      if (message.kind !== "events") return;
    }
  } finally {
    signal.removeEventListener("abort", leave);
    connection.close();
    leave();
  }
}

/** Runs etcd's side of a watch. */
async function pass(
  etcd: SimEtcd,
  query: WatchQuery,
  signal: AbortSignal,
  send: (message: WatchMessage) => void,
): Promise<void> {
  // A signal of `AbortSignal.any` lives as long as it has listeners, and would keep the whole simulation in memory.
  const { signal: both, unlink } = linkSignals(signal, etcd.watches);
  let nextRevision = query.fromRevision;
  for await (const message of etcd.memory.watch(query, both)) {
    if (both.aborted) break;
    if (message.kind === "events") nextRevision = message.nextRevision;
    send(message);
  }
  unlink();
  if (!signal.aborted && both.aborted) {
    send({ kind: "disconnected", cause: unavailableError("another member answers now"), nextRevision });
  }
}

/** Sends one request to etcd. A request that times out or is aborted may still take effect. */
function ask<T>(
  etcd: SimEtcd,
  server: Actor,
  signal: AbortSignal,
  serve: () => Promise<T>,
  timeoutMs = CALL_TIMEOUT_MS,
): Promise<T> {
  const { network } = etcd;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const cancelTimer = network.scheduler.after(timeoutMs, server, () => {
      settle(() => reject(unavailableError("etcd did not answer in time")));
    });
    const settle = (run: () => void): void => {
      cancelTimer();
      forget();
      run();
    };
    const forget = onAbort(signal, () => settle(() => reject(signal.reason)));
    const back = new Pipe(network, ETCD_HOST, server);
    const reply = (run: () => void): void => {
      network.scheduler.afterQuiet(etcd.rng.next() * COMMIT_MS, () => back.send(() => settle(run)));
    };
    new Pipe(network, server.host, etcd.actor).send(() => {
      serve().then(
        (value) => reply(() => resolve(value)),
        (error: unknown) => reply(() => reject(error)),
      );
    });
  });
}

function unavailableError(why: string): BerthError {
  return new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message: `etcd is not reachable: ${why}` });
}
