import { endianness } from "node:os";

/**
 * The type of the numbers of members, which is said of the maps that hold them: 32 bits in the network's order.
 * `numgen` and `jhash` make numbers in the order of this host, and `typeof numgen` says so; but nft 1.1.7 writes and
 * seeks elements of that type the other way round, so that the kernel finds none of them. Other types of this host's
 * order are no better there, or not taken by nft 1.0.6.
 */
export const MEMBER_KEY_TYPE = "tcp sequence";

/** A member's number as nft has to be told it, so that the kernel has the bytes that `numgen` makes of the number. */
export function memberKey(number: number): number {
  if (endianness() === "BE") return number;
  return new DataView(Uint32Array.of(number).buffer).getUint32(0, false);
}
