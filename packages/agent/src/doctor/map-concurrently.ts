/**
 * Maps items with at most `limit` calls at the same time, and returns the results in the order of the items. After the first
 * failure, no further call starts.
 */
export async function mapConcurrently<T, R>(
  limit: number,
  items: readonly T[],
  map: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const remaining = items.entries();
  let hasFailed = false;
  const runWorker = async (): Promise<void> => {
    for (const [index, item] of remaining) {
      if (hasFailed) return;
      try {
        results[index] = await map(item);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, runWorker));
  return results;
}
