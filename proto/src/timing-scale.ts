/** Environment variable with the factor of the timings by which hosts and leaders count as lost. */
export const TIMING_SCALE_VARIABLE = "BERTH_TIMING_SCALE";
/** Maximum factor. With a larger one, a lost host would be noticed only after minutes. */
const MAX_TIMING_SCALE = 60;

/** Returns the factor that a variable sets, 1 if it is not set, or undefined if it is invalid. */
export function parseTimingScale(text: string | undefined): number | undefined {
  if (!text) return 1;
  const scale = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  return scale >= 1 && scale <= MAX_TIMING_SCALE ? scale : undefined;
}

/** Returns why the variable's value is invalid, or undefined if it is valid. */
export function timingScaleProblem(env: Readonly<NodeJS.ProcessEnv>): string | undefined {
  const text = env[TIMING_SCALE_VARIABLE];
  if (parseTimingScale(text) !== undefined) return undefined;
  return `invalid ${TIMING_SCALE_VARIABLE} ${JSON.stringify(text)}: must be a whole number from 1 to ${MAX_TIMING_SCALE}`;
}

/**
 * The factor of this process: 1 on real hosts, more on machines that are too slow for berth's timings, such as emulated
 * ones. It is constant, because leader and agents compute from it by when a silent node has stopped its tasks. A browser
 * has no environment, and none of these timings.
 */
export const TIMING_SCALE =
  (typeof process === "undefined" ? 1 : parseTimingScale(process.env[TIMING_SCALE_VARIABLE])) ?? 1;

/** Multiplies a timing by {@link TIMING_SCALE}. */
export function scaleTiming(ms: number): number {
  return ms * TIMING_SCALE;
}
