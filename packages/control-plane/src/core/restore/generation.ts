/**
 * A restore from a backup writes all records into a new etcd, whose revisions start at 1. Epochs of leaders are
 * revisions, and agents reject epochs lower than the highest that they have seen. Therefore each restore has a
 * generation, which leaders add to their epochs.
 */

/**
 * Number of epochs reserved per millisecond. etcd cannot reach as many revisions in this time, so each generation
 * exceeds all epochs before it.
 */
const EPOCHS_PER_MS = 1_024;

/**
 * Returns the generation of a restore at this time. It exceeds all epochs of the cluster so far, including those after
 * the backup, and those of earlier restores of the same backup.
 *
 * @param highestEpoch the highest epoch in the backup, in case the clock is wrong
 */
export function nextGeneration(nowMs: number, highestEpoch: number): number {
  return Math.max(nowMs * EPOCHS_PER_MS, highestEpoch + EPOCHS_PER_MS);
}
