import {
  BerthError,
  type ClusterKeyState,
  ControlServiceService,
  isBerthError,
  PeerServiceService,
} from "@berth/proto";
import {
  certificateFacts,
  createRequest,
  parseCertificate,
  RENEWAL_GRACE_MS,
  renewalState,
} from "@berth/proto/identity";
import { type RpcTransport, tlsMaterialOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { type HeldKeyStep, planHeldKeys } from "../core/cluster-key/held-keys.js";
import { sealingKeyId } from "../core/cluster-key/rotation.js";
import { type KeyVersion, keyVersion } from "../identity/cluster-key.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { linkSignals } from "../runtime/abort.js";
import { sleep } from "../runtime/clock.js";
import type { Runtime } from "../runtime/runtime.js";
import { decodeEntry } from "../state/change.js";
import { CLUSTER_KEY_RECORD, SERVERS_PREFIX, serverKey } from "../store/keys.js";
import { listAndWatch } from "../store/list-watch.js";
import { readAll, readOne } from "../store/read.js";
import type { Store } from "../store/store.js";
import { parseServerAddress } from "./server-registry.js";

/**
 * Time for which the start waits for another server with the current key. Then the process ends, and its supervisor
 * retries.
 */
const START_TIMEOUT_MS = 60_000;
const RETRY_MS = 500;
/** Timeout for one server, so that an unresponsive host leaves time for the others. */
const SERVER_TIMEOUT_MS = 3_000;
/** Maximum number of steps. A server that missed several rotations takes three steps; more indicate a bug. */
const MAX_STEPS = 8;

export interface ClusterKeyTrackerOptions {
  readonly identity: ServerIdentity;
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly transport: RpcTransport;
}

/**
 * Makes sure that a starting server has the current cluster key. A server that was off during a rotation gets the key
 * from another server, over mutual TLS.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if no server has responded in time
 */
export async function ensureClusterKey(
  options: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { identity, runtime, logger } = options;
  const deadlineMs = runtime.clock.nowMs() + START_TIMEOUT_MS;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await followCluster(options, signal);
    } catch (error) {
      signal.throwIfAborted();
      // The next key of a rotation may arrive later.
      if (identity.clusterKey.find(sealingKeyId(await readState(options, signal))) !== undefined) return;
      if (!isBerthError(error) || runtime.clock.nowMs() >= deadlineMs) throw error;
      if (isFirst) logger.warn({ err: error }, "waiting for the current cluster key");
    }
    await sleep(runtime.clock, RETRY_MS, signal);
  }
}

/** Follows the rotations of the cluster key until the signal is aborted. */
export async function trackClusterKey(options: ClusterKeyTrackerOptions, signal: AbortSignal): Promise<void> {
  const { store, runtime } = options;
  let attempt: Attempt = { stop: async () => {} };
  const span = { key: CLUSTER_KEY_RECORD };
  for await (const { kind } of listAndWatch({ store, clock: runtime.clock, span }, signal)) {
    if (kind === "unreachable") continue;
    await attempt.stop();
    attempt = startFollowing(options, signal);
  }
  await attempt.stop();
}

interface Attempt {
  stop(): Promise<void>;
}

/** Takes steps until none is left, or until it is stopped because the state has changed. */
function startFollowing(options: ClusterKeyTrackerOptions, signal: AbortSignal): Attempt {
  const linked = linkSignals(signal);
  const ended = followWithRetries(options, linked.signal);
  return {
    stop: async () => {
      linked.abort();
      linked.unlink();
      await ended;
    },
  };
}

async function followWithRetries(options: ClusterKeyTrackerOptions, signal: AbortSignal): Promise<void> {
  const { runtime, logger } = options;
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    try {
      return await followCluster(options, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isFirst) logger.warn({ err: error }, "cannot get the cluster key; trying again");
    }
    await sleep(runtime.clock, RETRY_MS, signal);
  }
}

async function followCluster(options: ClusterKeyTrackerOptions, signal: AbortSignal): Promise<void> {
  const { heldKey } = options.identity;
  for (let count = 0; count < MAX_STEPS; count += 1) {
    const state = await readState(options, signal);
    const before = heldKey.ids;
    const step = planHeldKeys(state, before);
    await executeStep(step, options, signal);
    const { current, next } = heldKey.ids;
    // A reserved key is not dropped.
    if (step.kind === "none" || (before.current === current && before.next === next)) return;
    options.logger.info({ step: step.kind, current, next }, "changed the stored cluster key");
  }
}

async function executeStep(
  step: HeldKeyStep,
  options: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { heldKey } = options.identity;
  switch (step.kind) {
    case "none":
      heldKey.release();
      return;
    case "fetch":
      return heldKey.setNext(await fetchKey(step.id, options, signal));
    case "promote":
      return heldKey.promoteNext();
    case "drop":
      return heldKey.dropNext();
  }
}

async function readState(
  { store }: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<ClusterKeyState | undefined> {
  const entry = await readOne(store, CLUSTER_KEY_RECORD, signal);
  const decoded = entry && decodeEntry(entry);
  return decoded?.kind === "put" && decoded.put.kind === "put-clusterKey"
    ? decoded.put.clusterKey
    : undefined;
}

/**
 * Fetches a key from the first server that has it.
 *
 * @throws BerthError BERTH_IDENTITY_INVALID if no server returns it
 */
async function fetchKey(
  id: string,
  options: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<KeyVersion> {
  const addresses = await otherServers(options, signal);
  const failures: string[] = [];
  for (const address of addresses) {
    try {
      await renewExpiredCertificate(address, options, signal);
      return await fetchFrom(address, id, options.transport, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${address}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const reason = failures.length === 0 ? "no other server is running" : failures.join("; ");
  throw new BerthError({
    code: "BERTH_IDENTITY_INVALID",
    message: `this server does not have the cluster key ${id.slice(0, 12)}, which the cluster has been rotated to: ${reason}; start a server that has it`,
  });
}

async function fetchFrom(
  address: string,
  id: string,
  transport: RpcTransport,
  signal: AbortSignal,
): Promise<KeyVersion> {
  const connection = transport.connect(PeerServiceService, { address });
  try {
    const response = await connection.calls.fetchClusterKey({ id }, { signal, timeoutMs: SERVER_TIMEOUT_MS });
    const version = keyVersion(response.clusterKey);
    if (version.id === id) return version;
    throw new BerthError({ code: "BERTH_IDENTITY_INVALID", message: "the server returned a different key" });
  } finally {
    connection.close();
  }
}

/**
 * Renews the certificate of this server through another server if it has expired. Without the current cluster key, a
 * server cannot issue its own certificate.
 */
async function renewExpiredCertificate(
  address: string,
  { identity, runtime, transport }: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { directory, rpc } = identity;
  const files = await directory.load();
  if (files === undefined) return;
  const facts = certificateFacts(parseCertificate(files.certificate));
  const { kind } = renewalState(facts, runtime.wallClockMs(), { graceMs: RENEWAL_GRACE_MS, jitter: 0.5 });
  if (kind === "current" || kind === "due") return;
  const certificateRequest = await createRequest(await directory.prepareKey());
  const connection = transport.connect(ControlServiceService, { address });
  try {
    const options = { signal, timeoutMs: SERVER_TIMEOUT_MS };
    const issued = await connection.calls.renewCertificate({ certificateRequest }, options);
    rpc.update(tlsMaterialOf(await directory.store(issued)));
  } finally {
    connection.close();
  }
}

/**
 * Returns the addresses of the other registered servers, and of the servers that the cluster had when this server joined.
 */
async function otherServers(
  { store, identity }: ClusterKeyTrackerOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { entries } = await readAll(store, { prefix: SERVERS_PREFIX }, signal);
  const others = entries.filter(({ key }) => key !== serverKey(identity.serverId));
  const registered = others.flatMap(({ value }) => parseServerAddress(value) ?? []);
  return [...new Set([...registered, ...identity.servers])];
}
