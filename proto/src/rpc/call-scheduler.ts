import { createAbortRace } from "./streams.js";

/**
 * Maximum size of the encoded responses that a server keeps for one caller, as many as more than a hundred stalled
 * streams have. A caller below this limit gets one more response of any size.
 */
export const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/**
 * Number of unsent bytes of a stream from which on its handler is asked for no further response: two messages with the
 * output of a command, so that one is prepared while the other is sent.
 */
const MAX_STREAM_BYTES = 128 * 1024;

/**
 * Maximum time for encoding responses in one turn of the event loop. A list of 1,000 tasks takes about 10 ms, and a
 * client can request hundreds of them at once.
 */
const ENCODING_MS_PER_TURN = 25;

/**
 * Maximum number of handlers that are started in one turn of the event loop. A turn can take 50 ms while agents connect:
 * with one start, the 1,000 agents of a lost leader needed 20 s to return instead of 10 s. Most handlers take less than
 * a millisecond.
 */
const STARTS_PER_TURN = 16;

/**
 * Schedules the work of a server for its calls, so that no caller costs much memory or delays other work.
 *
 * - A client can keep any number of HTTP/2 streams open and read nothing. A response is therefore encoded only while the
 *   unread responses of its caller, on all connections together, are below a limit. Until then, the call waits.
 * - Hundreds of requests can arrive in one turn of the event loop. A limited number of handlers is started in each turn.
 * - Callers take turns.
 */
export class CallScheduler {
  readonly #maxUnreadBytes: number;
  readonly #callers = new Map<string, CallerQueue>();
  /** The callers that may have work. */
  readonly #ready = new Set<CallerQueue>();
  #encodingMs = 0;
  #startCount = 0;
  #isTurnScheduled = false;

  constructor(maxUnreadBytes = MAX_UNREAD_BYTES) {
    this.#maxUnreadBytes = maxUnreadBytes;
  }

  /** Adds a call of a caller. It must be closed when the call has ended. */
  open(caller: string): ScheduledCall {
    const queue = this.#callers.get(caller) ?? this.#addCaller(caller);
    queue.openCalls += 1;
    return new ScheduledCall(queue, () => {
      queue.openCalls -= 1;
      if (queue.openCalls === 0) this.#callers.delete(caller);
    });
  }

  #addCaller(caller: string): CallerQueue {
    const queue: CallerQueue = new CallerQueue(this.#maxUnreadBytes, () => {
      this.#ready.add(queue);
      this.#run();
    });
    this.#callers.set(caller, queue);
    return queue;
  }

  #run(): void {
    for (const queue of this.#ready) {
      if (this.#encodingMs >= ENCODING_MS_PER_TURN) break;
      if (queue.canEncode) {
        this.#encodeOne(queue);
      } else if (!queue.hasStarts) {
        this.#ready.delete(queue);
      } else if (this.#startCount < STARTS_PER_TURN) {
        this.#startOne(queue);
      }
    }
    this.#scheduleTurn();
  }

  #encodeOne(queue: CallerQueue): void {
    this.#moveToEnd(queue);
    const startedMs = performance.now();
    queue.encodeOne();
    this.#encodingMs += performance.now() - startedMs;
  }

  #startOne(queue: CallerQueue): void {
    this.#moveToEnd(queue);
    this.#startCount += 1;
    queue.startOne();
  }

  #moveToEnd(queue: CallerQueue): void {
    this.#ready.delete(queue);
    this.#ready.add(queue);
  }

  #scheduleTurn(): void {
    if (this.#isTurnScheduled || (this.#encodingMs === 0 && this.#startCount === 0)) return;
    this.#isTurnScheduled = true;
    setImmediate(() => {
      this.#isTurnScheduled = false;
      this.#encodingMs = 0;
      this.#startCount = 0;
      this.#run();
    });
  }
}

/** The calls of one caller that wait for their start, or for the encoding of a response. */
class CallerQueue {
  openCalls = 0;
  readonly #maxUnreadBytes: number;
  /** Called when there may be work. */
  readonly #onReady: () => void;
  readonly #starts = new Set<() => void>();
  readonly #encodings = new Set<() => void>();
  #unreadBytes = 0;

  constructor(maxUnreadBytes: number, onReady: () => void) {
    this.#maxUnreadBytes = maxUnreadBytes;
    this.#onReady = onReady;
  }

  get hasStarts(): boolean {
    return this.#starts.size > 0;
  }

  get canEncode(): boolean {
    return this.#encodings.size > 0 && this.#unreadBytes < this.#maxUnreadBytes;
  }

  /** Adds the start of a call. Returns a function that removes it. */
  addStart(start: () => void): () => void {
    this.#starts.add(start);
    this.#onReady();
    return () => this.#starts.delete(start);
  }

  /** Adds the encoding of a response. Returns a function that removes it. */
  addEncoding(encode: () => void): () => void {
    this.#encodings.add(encode);
    this.#onReady();
    return () => this.#encodings.delete(encode);
  }

  startOne(): void {
    runFirst(this.#starts);
  }

  encodeOne(): void {
    runFirst(this.#encodings);
  }

  addUnread(bytes: number): void {
    this.#unreadBytes += bytes;
  }

  removeUnread(bytes: number): void {
    this.#unreadBytes -= bytes;
    if (this.canEncode) this.#onReady();
  }
}

/** Removes and calls the first function. */
function runFirst(jobs: Set<() => void>): void {
  for (const job of jobs) {
    jobs.delete(job);
    job();
    return;
  }
}

/** One call of a caller, and its unread responses. */
export class ScheduledCall {
  readonly #caller: CallerQueue;
  readonly #onClosed: () => void;
  #unreadBytes = 0;
  #isClosed = false;
  #onRoom: () => void = () => {};
  #removeStart: () => void = () => {};

  constructor(caller: CallerQueue, onClosed: () => void) {
    this.#caller = caller;
    this.#onClosed = onClosed;
  }

  /** Calls `start` when it is the turn of this call. Never calls it after `close`. */
  start(start: () => void): void {
    this.#removeStart = this.#caller.addStart(start);
  }

  /**
   * Encodes a response as soon as its caller has read enough of the others, and counts it as unread.
   *
   * @throws what `encode` throws; the signal's reason when it aborts first
   */
  async encode(encode: () => Buffer, signal: AbortSignal): Promise<Buffer> {
    const abortRace = createAbortRace(signal);
    let cancel = (): void => {};
    try {
      const encoded = new Promise<Buffer>((resolve, reject) => {
        cancel = this.#caller.addEncoding(() => {
          try {
            const bytes = encode();
            this.#add(bytes.length);
            resolve(bytes);
          } catch (error) {
            reject(error);
          }
        });
      });
      return await abortRace.race(encoded);
    } finally {
      cancel();
      abortRace.dispose();
    }
  }

  /** Records that a response was passed to the caller's connection, which has room for it. */
  recordSent(bytes: number): void {
    if (this.#isClosed) return;
    this.#unreadBytes -= bytes;
    this.#caller.removeUnread(bytes);
    if (this.#unreadBytes < MAX_STREAM_BYTES) this.#onRoom();
  }

  /**
   * Resolves when a stream has sent enough for its next response.
   *
   * @throws the signal's reason when it aborts first
   */
  async untilRoom(signal: AbortSignal): Promise<void> {
    if (this.#unreadBytes < MAX_STREAM_BYTES) return;
    const abortRace = createAbortRace(signal);
    try {
      await abortRace.race(
        new Promise<void>((resolve) => {
          this.#onRoom = resolve;
        }),
      );
    } finally {
      abortRace.dispose();
    }
  }

  /** Removes a call that has ended, of which no response is kept. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#removeStart();
    this.#caller.removeUnread(this.#unreadBytes);
    this.#onClosed();
  }

  #add(bytes: number): void {
    if (this.#isClosed) return;
    this.#unreadBytes += bytes;
    this.#caller.addUnread(bytes);
  }
}
