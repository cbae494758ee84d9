import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "@berth/proto";
import {
  createRequest,
  IdentityDirectory,
  RENEWAL_GRACE_MS,
  type RenewalState,
  renewalState,
} from "@berth/proto/identity";
import { type ContextIdentity, loadContextIdentity } from "./context-identity.js";
import type { ControlClient } from "./control-connection.js";

const LOCK_FILE = "renewal.lock";
/**
 * Age from which a lock is left over from a command that was killed. A renewal takes at most the timeout of its call.
 */
const STALE_LOCK_MS = 60_000;

/** Pause between two attempts to get the lock. */
const LOCK_RETRY_MS = 100;

export interface RenewalOptions {
  readonly calls: Pick<ControlClient, "renewCertificate">;
  /** Bounds the wait for another command that is renewing the certificate, and the call. */
  readonly timeoutMs: number;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Returns whether a certificate should be renewed, or must be renewed before it can be used. */
export function renewalStateOf({ facts }: ContextIdentity, nowMs: number): RenewalState {
  // No random jitter: users do not get their certificates at the same time.
  return renewalState(facts, nowMs, { graceMs: RENEWAL_GRACE_MS, jitter: 0.5 });
}

/**
 * Renews the certificate of a context and stores it. Returns the stored identity, which another command may have
 * renewed in the meantime.
 *
 * @throws the BerthError of the call; BERTH_DEADLINE when another command holds the lock for too long
 */
export async function renewContextIdentity(
  identity: ContextIdentity,
  options: RenewalOptions,
): Promise<ContextIdentity> {
  const { location } = identity;
  const deadlineMs = options.now() + options.timeoutMs;
  while (!(await tryLock(location.directory))) {
    if (options.now() >= deadlineMs) throw lockedError(location.directory);
    await sleep(LOCK_RETRY_MS, undefined, { signal: options.signal });
  }
  try {
    const stored = await loadContextIdentity(location);
    if (renewalStateOf(stored, options.now()).kind === "current") return stored;
    await renew(location.directory, { ...options, timeoutMs: Math.max(1, deadlineMs - options.now()) });
    return await loadContextIdentity(location);
  } finally {
    await rm(join(location.directory, LOCK_FILE), { force: true });
  }
}

async function renew(path: string, { calls, timeoutMs, signal }: RenewalOptions): Promise<void> {
  const directory = await IdentityDirectory.open(path);
  const certificateRequest = await createRequest(await directory.prepareKey());
  await directory.store(await calls.renewCertificate({ certificateRequest }, { signal, timeoutMs }));
}

/** Tries to acquire the lock of a directory. Returns false when another command holds it. Removes a stale lock. */
async function tryLock(directory: string): Promise<boolean> {
  const path = join(directory, LOCK_FILE);
  try {
    await (await open(path, "wx", 0o600)).close();
    return true;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > STALE_LOCK_MS) await rm(path, { force: true });
    return false;
  }
}

function lockedError(directory: string): BerthError {
  const message = `cannot renew the certificate in ${directory}: another command is renewing it; try again`;
  return new BerthError({ code: "BERTH_DEADLINE", message });
}
