import { constants, deflateRawSync } from "node:zlib";

/** One server-sent event. */
export interface StreamEvent {
  /** @default "message" */
  readonly name?: string;
  /** The client sends the last one as `Last-Event-ID` when it reconnects. */
  readonly id?: string | undefined;
  /** JSON. */
  readonly data: string;
}

/**
 * A part of an event stream in the form in which it is sent. Streams share it, so that it is encoded and compressed
 * once, however many browsers receive it.
 */
export class EncodedEvent {
  readonly bytes: Buffer;
  #compressed: Buffer | undefined;

  constructor(text: string) {
    this.bytes = Buffer.from(text);
  }

  static of({ name, id, data }: StreamEvent): EncodedEvent {
    const fields = [
      ...(name === undefined ? [] : [`event: ${name}`]),
      ...(id === undefined ? [] : [`id: ${id}`]),
    ];
    // JSON has no line breaks.
    return new EncodedEvent(`${[...fields, `data: ${data}`].join("\n")}\n\n`);
  }

  static comment(text: string): EncodedEvent {
    return new EncodedEvent(`: ${text}\n\n`);
  }

  /**
   * The bytes as blocks of a deflate stream. They end at a byte boundary and do not refer to what was sent before, so
   * that they can continue any stream.
   */
  get compressed(): Buffer {
    this.#compressed ??= deflateRawSync(this.bytes, { finishFlush: constants.Z_FULL_FLUSH });
    return this.#compressed;
  }
}
