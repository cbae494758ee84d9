/** A part of an image that this node has received from a client and checked. */
export type UploadedPart =
  | { readonly kind: "layer"; readonly digest: string }
  /** The last part. The node has all layers then. */
  | { readonly kind: "config"; readonly config: Buffer };

/** The parts of an image that arrive from a client, for other nodes that copy each one as soon as it is there. */
export class UploadProgress {
  readonly #parts: UploadedPart[] = [];
  readonly #waiting = new Set<() => void>();
  #end: { readonly error: unknown } | undefined;

  add(part: UploadedPart): void {
    this.#parts.push(part);
    this.#wakeAll();
  }

  /**
   * Ends the upload. Later ends are ignored.
   *
   * @param error why it is not complete
   */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wakeAll();
  }

  /**
   * Yields the parts that are there, and further ones as they arrive, until the upload ends.
   *
   * @throws the error of the upload; the signal's reason
   */
  async *parts(signal: AbortSignal): AsyncGenerator<UploadedPart> {
    for (let index = 0; ; index += 1) {
      while (this.#parts[index] === undefined && this.#end === undefined) await this.#change(signal);
      const part = this.#parts[index];
      if (part !== undefined) yield part;
      else if (this.#end?.error !== undefined) throw this.#end.error;
      else return;
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    let onAbort = (): void => {};
    let wake = (): void => {};
    try {
      await new Promise<void>((resolve, reject) => {
        wake = resolve;
        onAbort = () => reject(signal.reason);
        this.#waiting.add(wake);
        signal.addEventListener("abort", onAbort, { once: true });
      });
    } finally {
      this.#waiting.delete(wake);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
  }
}
