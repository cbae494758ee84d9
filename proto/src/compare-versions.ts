/**
 * Compares two versions such as "0.2.0" and "0.10" number by number. A missing number counts as 0.
 *
 * @returns a negative number if `left` is older, a positive one if `left` is newer, 0 otherwise
 */
export function compareVersions(left: string, right: string): number {
  const leftNumbers = numbersOf(left);
  const rightNumbers = numbersOf(right);
  for (let index = 0; index < Math.max(leftNumbers.length, rightNumbers.length); index += 1) {
    const difference = (leftNumbers[index] ?? 0) - (rightNumbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): readonly number[] {
  return (version.match(/\d+/g) ?? []).map(Number);
}
