import v8 from "node:v8";

/**
 * Growth of the heap between two full garbage collections while calls carry chunks. V8 itself uses at most this much, for
 * programs that allocate quickly.
 *
 * V8 counts buffers, which are outside of its heap, as growth of the heap. A chunk passes through several of them. V8
 * lets the heap of a program that has allocated little grow by 10 % only, and then collects all garbage after every
 * 8 MiB of chunks: half of the CPU time of a copy. Minor collections, which are much cheaper, would soon free the
 * buffers, too.
 */
const GROWTH_PERCENT = 300;

/** V8 decides by itself. */
const DEFAULT_GROWTH_PERCENT = 0;

let openCalls = 0;

/** Lets the heap grow until the returned function is called, which must happen once. */
export function allowHeapGrowth(): () => void {
  if (openCalls === 0) setGrowth(GROWTH_PERCENT);
  openCalls += 1;
  return () => {
    openCalls -= 1;
    if (openCalls === 0) setGrowth(DEFAULT_GROWTH_PERCENT);
  };
}

/** V8 reads this flag after each full collection, so it can be set at any time. */
function setGrowth(percent: number): void {
  v8.setFlagsFromString(`--heap-growing-percent=${percent}`);
}
