/** The behavior of containers of an image. The image name selects the behavior; tags are versions. */
export interface ImageBehavior {
  /** Whether a registry has the image. */
  readonly exists: boolean;
  readonly pullMs: readonly [min: number, max: number];
  /** When the program exits, and with which code. Undefined if it runs until it is stopped. */
  readonly ends:
    | { readonly afterMs: readonly [min: number, max: number]; readonly exitCode: number }
    | undefined;
  /** Time from SIGTERM until the program exits. Undefined if it ignores the signal. */
  readonly stopMs: readonly [min: number, max: number] | undefined;
  /** Time until the health check succeeds. Undefined if it never does. */
  readonly healthyAfterMs: readonly [min: number, max: number] | undefined;
}

const GOOD: ImageBehavior = {
  exists: true,
  pullMs: [50, 600],
  ends: undefined,
  stopMs: [10, 400],
  healthyAfterMs: [200, 900],
};

const KINDS: Readonly<Record<string, ImageBehavior>> = {
  app: GOOD,
  stubborn: { ...GOOD, stopMs: undefined },
  crash: { ...GOOD, ends: { afterMs: [50, 400], exitCode: 1 } },
  sick: { ...GOOD, healthyAfterMs: undefined },
  missing: { ...GOOD, exists: false },
  job: { ...GOOD, ends: { afterMs: [200, 1_500], exitCode: 0 } },
  long: { ...GOOD, ends: { afterMs: [1_500, 4_000], exitCode: 0 } },
};

/** Returns true for images with which a service converges. */
export function isGoodImage(image: string): boolean {
  return image.startsWith("app:") || image.startsWith("stubborn:");
}

/** Returns true for images with which a job completes. */
export function isJobImage(image: string): boolean {
  return image.startsWith("job:") || image.startsWith("long:");
}

export function behaviorOf(image: string): ImageBehavior {
  return KINDS[image.slice(0, image.indexOf(":"))] ?? GOOD;
}
