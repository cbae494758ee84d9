import type { HostListener } from "@berth/proto";

/** One program may have taken another one's place between two looks, so that there are as many sockets as before. */
const LOOKS_PER_READING = 10;

export interface ListenerSource {
  /** Every socket that waits for peers. */
  read(): Promise<readonly HostListener[]>;
  /** Another text whenever a socket has come or gone; empty: not known. */
  counts(): Promise<string>;
}

/**
 * Reads the host's listeners only when there are more or fewer sockets than at the last look, and every tenth time. To
 * list them takes the kernel through its whole table of connections, which has hundreds of thousands of places on a
 * host with much memory: a quarter of all that an agent with nothing to do cost.
 */
export function listenersByCount({ read, counts }: ListenerSource): () => Promise<readonly HostListener[]> {
  let known: readonly HostListener[] = [];
  let countedBefore = "";
  let looksLeft = 0;
  return async () => {
    const counted = await counts();
    looksLeft -= 1;
    if (counted !== "" && counted === countedBefore && looksLeft > 0) return known;
    known = await read();
    countedBefore = counted;
    looksLeft = LOOKS_PER_READING;
    return known;
  };
}
