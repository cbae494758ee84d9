import { isIPv4 } from "node:net";

/** Number of groups into which client addresses are divided. All clients of a group are sent to the same endpoint. */
export const BUCKETS = 256;
/** Seed of the hash of client addresses. Arbitrary, but the same on all hosts and in all releases. */
export const BUCKET_SEED = 0xbe47;

const BUCKET_SHIFT = 24;
const GOLDEN_RATIO = 0x9e37_79b1;
const FNV_OFFSET = 0x811c_9dc5;
const FNV_PRIME = 0x0100_0193;

/**
 * Returns the group of a client address, as nftables computes it: `jhash ip saddr mod 256 seed 0xbe47`. nftables scales
 * the 32-bit hash to the modulus with `reciprocal_scale`: for 256, the result is its upper 8 bits. The kernel path has
 * no IPv6; these addresses are hashed as text.
 */
export function bucketOf(address: string): number {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  if (!isIPv4(plain)) return mix(hashText(plain)) >>> BUCKET_SHIFT;
  const [a = 0, b = 0, c = 0, d = 0] = plain.split(".").map(Number);
  return jenkinsHash(a | (b << 8) | (c << 16) | (d << 24), BUCKET_SEED) >>> BUCKET_SHIFT;
}

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1996): returns the member with the highest score for the bucket. Every
 * host gets the same result without coordination, and removing a member moves only the buckets of that member.
 */
export function rendezvous<Member extends { readonly id: string }>(
  bucket: number,
  members: Iterable<Member>,
): Member | undefined {
  let best: Member | undefined;
  let bestScore = -1;
  for (const member of members) {
    const score = mix(hashText(member.id) ^ Math.imul(bucket + 1, GOLDEN_RATIO));
    if (score > bestScore || (score === bestScore && best !== undefined && member.id < best.id)) {
      best = member;
      bestScore = score;
    }
  }
  return best;
}

/** Bob Jenkins' lookup3 over one 32-bit word, as in Linux's include/linux/jhash.h. */
function jenkinsHash(word: number, seed: number): number {
  const start = (0xdead_beef + 4 + seed) | 0;
  let a = (start + word) | 0;
  let b = start;
  let c = start;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** FNV-1a, 32 bit. */
function hashText(text: string): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  }
  return hash >>> 0;
}

/** The finalizer of MurmurHash3: every input bit affects every output bit. */
function mix(value: number): number {
  let hash = value >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
