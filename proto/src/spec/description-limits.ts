/** Limits of a node's description, which etcd stores as one record. The agent keeps them, and the leader checks them. */
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

/** Control and format characters, which could change what a terminal shows, and halves of surrogate pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Returns whether a text of a description is short, and safe to show in a terminal. */
export function isDescriptionText(text: string): boolean {
  return text.length <= DESCRIPTION_LIMITS.text && !UNPRINTABLE.test(text);
}

/** Returns the text with unprintable characters replaced by spaces, cut to the limit. */
export function toDescriptionText(text: string): string {
  const printable = text.slice(0, DESCRIPTION_LIMITS.text).replace(new RegExp(UNPRINTABLE, "gu"), " ");
  return printable.trim();
}
