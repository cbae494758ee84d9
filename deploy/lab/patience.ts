/**
 * How many times longer than usual whatever is waited for may take: `BERTH_TEST_PATIENCE`, 1 unless set. For machines
 * that are slower than any that people run berth on, as emulated ones.
 */
const FACTOR = Math.max(1, Number(process.env.BERTH_TEST_PATIENCE) || 1);

/** A deadline of the lab or of a test on this machine. Nothing that berth itself measures is changed. */
export function withPatience(timeoutMs: number): number {
  return timeoutMs * FACTOR;
}
