import { fetchAuthority } from "@berth/proto/identity";

/** Timeout for a response from a server. */
const TIMEOUT_MS = 3_000;

/**
 * Returns the address of a running server of the cluster, which has a certificate from one of these authorities, or
 * undefined if nothing, or another program, listens at each address.
 */
export async function findLivingServer(
  addresses: readonly string[],
  fingerprints: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const attempts = addresses.flatMap((address) =>
    fingerprints.map(async (fingerprint) => {
      await fetchAuthority({ address, fingerprint, timeoutMs: TIMEOUT_MS }, signal);
      return address;
    }),
  );
  const livingServer = await Promise.any(attempts).catch(() => undefined);
  signal.throwIfAborted();
  return livingServer;
}
