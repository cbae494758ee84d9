/**
 * Limits of a node's description, which etcd stores as one record. The agent observes them, and the leader enforces
 * them.
 */
export const DESCRIPTION_LIMITS = {
  /** Size on the wire. Descriptions of the largest number of nodes fit into a third of etcd's quota. */
  bytes: 128 * 1_024,
  /** Length of each text in characters. */
  text: 1_024,
  generic: 64,
  labels: 256,
  problems: 64,
  listeners: 1_000,
  volumes: 1_000,
  subnets: 256,
  addresses: 64,
} as const;

/** Pattern of control and format characters, which could manipulate a terminal, and of unpaired surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Returns whether text is short enough for a description and safe to show in a terminal. */
export function isDescriptionText(text: string): boolean {
  return text.length <= DESCRIPTION_LIMITS.text && !UNPRINTABLE.test(text);
}

/** Returns the text with unprintable characters replaced by spaces, cut to the limit. */
export function toDescriptionText(text: string): string {
  const printable = text.slice(0, DESCRIPTION_LIMITS.text).replace(new RegExp(UNPRINTABLE, "gu"), " ");
  return printable.trim();
}
