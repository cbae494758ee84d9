import { BerthError } from "@berth/proto";
import type { IDuplexStream, IWatchRequest, IWatchResponse } from "etcd3";
import { onAbort } from "../../runtime/abort.js";
import { checkKey } from "../check-txn.js";
import type { WatchMessage, WatchQuery } from "../store.js";
import { type EtcdClient, toBerthError } from "./client.js";
import { decodeEvent, encodeSpan } from "./codec.js";
import type { Member, MemberClients } from "./member.js";

type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;

/**
 * Watches a span of keys over one etcd stream; implements `EtcdStore.watch`. `nextRevision` follows the last event, since
 * the revision in a response's header can be ahead of events that have not arrived yet.
 */
export async function* watchSpan(
  client: EtcdClient,
  query: WatchQuery,
  signal: AbortSignal,
): AsyncGenerator<WatchMessage> {
  checkKey("key" in query ? query.key : query.prefix);
  if (signal.aborted) return;
  const member = client.currentMember();
  const { clients, release } = member.acquire();
  try {
    yield* watchMember({ client, member, clients }, query, signal);
  } finally {
    release();
  }
}

interface WatchSource {
  readonly client: EtcdClient;
  readonly member: Member;
  readonly clients: MemberClients;
}

async function* watchMember(
  { client, member, clients }: WatchSource,
  query: WatchQuery,
  signal: AbortSignal,
): AsyncGenerator<WatchMessage> {
  const stream = await clients.watches.watchClient.watch();
  const stop = (): void => cancel(stream);
  const removeListener = onAbort(signal, stop);
  const createTimeout = setTimeout(stop, client.callTimeoutMs);
  let nextRevision = query.fromRevision;
  try {
    stream.write({ create_request: { ...encodeSpan(query), start_revision: String(query.fromRevision) } });
    for await (const response of responses(stream)) {
      clearTimeout(createTimeout);
      if (response.canceled) {
        yield canceledBy(response, member.endpoint, nextRevision);
        return;
      }
      const last = response.events.at(-1);
      if (last === undefined) continue;
      nextRevision = BigInt(last.kv.mod_revision) + 1n;
      yield { kind: "events", events: response.events.map(decodeEvent), nextRevision };
    }
    if (!signal.aborted) yield disconnected(new Error("the watch ended"), member.endpoint, nextRevision);
  } catch (error) {
    if (signal.aborted) return;
    client.failOver(member);
    yield disconnected(error, member.endpoint, nextRevision);
  } finally {
    clearTimeout(createTimeout);
    removeListener();
    stop();
  }
}

/** Half-closes the stream first: etcd3 treats the error of a writable stream as a dead host and resets its other streams. */
function cancel(stream: WatchStream): void {
  stream.end();
  stream.cancel();
}

/** Reads the responses with back pressure. etcd3's type hides that its streams are object-mode Duplex streams. */
function responses(stream: WatchStream): AsyncIterable<IWatchResponse> {
  return stream as unknown as AsyncIterable<IWatchResponse>;
}

function canceledBy(response: IWatchResponse, endpoint: string, nextRevision: bigint): WatchMessage {
  const compactRevision = BigInt(response.compact_revision);
  if (compactRevision > 0n) return { kind: "compacted", at: compactRevision };
  const message = `etcd at ${endpoint} canceled a watch: ${response.cancel_reason || "no reason given"}`;
  const cause = new BerthError({ code: "BERTH_ETCD_FAILED", message, details: { endpoint } });
  return { kind: "disconnected", cause, nextRevision };
}

function disconnected(error: unknown, endpoint: string, nextRevision: bigint): WatchMessage {
  return { kind: "disconnected", cause: toBerthError(error, endpoint), nextRevision };
}
