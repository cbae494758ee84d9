/** What a container of an image does: the part before the colon decides, the tag tells versions apart. */
export interface ImageBehavior {
  /** False: no registry has it. */
  readonly exists: boolean;
  readonly pullMs: readonly [min: number, max: number];
  /** Ends by itself so long after its start, with this code. */
  readonly ends:
    | { readonly afterMs: readonly [min: number, max: number]; readonly exitCode: number }
    | undefined;
  /** How long it takes to end when it is asked to; undefined: it does not listen. */
  readonly stopMs: readonly [min: number, max: number] | undefined;
  /** Where it has a healthcheck: healthy after so long; undefined: never. */
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

/** True for images that a service converges with. */
export function isGoodImage(image: string): boolean {
  return image.startsWith("app:") || image.startsWith("stubborn:");
}

/** True for images that a job completes with. */
export function isJobImage(image: string): boolean {
  return image.startsWith("job:") || image.startsWith("long:");
}

export function behaviorOf(image: string): ImageBehavior {
  return KINDS[image.slice(0, image.indexOf(":"))] ?? GOOD;
}
