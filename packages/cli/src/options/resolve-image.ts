import { ResolveImage } from "@berth/proto";

const MODES = {
  always: ResolveImage.ALWAYS,
  changed: ResolveImage.CHANGED,
  never: ResolveImage.NEVER,
} as const;

/** Timeout of a call that resolves image tags: the leader asks nodes, which query registries. */
export const RESOLVE_TIMEOUT_MS = 20_000;

/** The option of commands that resolve image tags. */
export interface ResolveImageOptions {
  readonly resolveImage?: keyof typeof MODES;
}

/** Returns undefined if the option is not given, so that the server's default applies. */
export function parseResolveImage({ resolveImage }: ResolveImageOptions): ResolveImage | undefined {
  return resolveImage && MODES[resolveImage];
}
