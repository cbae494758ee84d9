/** Maximum number of executions per input. */
const MAX_ATTEMPTS = 32;

/**
 * Returns a smaller input for which `isWanted` still holds. Removes pieces of half the input's size, then of a quarter,
 * and so on.
 */
export async function minimize(
  input: Buffer,
  isWanted: (candidate: Buffer) => Promise<boolean>,
): Promise<Buffer> {
  let smallest = input;
  let attempts = 0;
  for (let size = Math.ceil(input.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < smallest.length && attempts < MAX_ATTEMPTS; attempts += 1) {
      const candidate = Buffer.concat([smallest.subarray(0, start), smallest.subarray(start + size)]);
      if (await isWanted(candidate)) smallest = candidate;
      else start += size;
    }
  }
  return smallest;
}
