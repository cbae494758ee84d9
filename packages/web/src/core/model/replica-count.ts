/** Maximum number of replicas of a service. Servers accept no more. */
export const MAX_REPLICAS = 100_000;

/**
 * Returns the number of replicas that a user entered, or undefined for anything but a whole number up to
 * {@link MAX_REPLICAS}. An empty field is not 0, which would stop the service.
 */
export function parseReplicaCount(text: string): number | undefined {
  const digits = text.trim();
  if (!/^\d{1,6}$/.test(digits)) return undefined;
  const count = Number(digits);
  return count <= MAX_REPLICAS ? count : undefined;
}
