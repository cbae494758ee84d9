import { crc32 } from "node:zlib";
import type { EncodedEvent } from "./encoded-event.js";

/** A member of a gzip file that contains deflate blocks, without a name, a time or a system (RFC 1952, section 2.3). */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** An empty block that ends a deflate stream. */
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

/** Puts compressed events together to one gzip stream. Other streams can contain the same events. */
export class GzipStream {
  #checksum = 0;
  #bytes = 0;

  /** Returns the beginning of the stream. */
  begin(): Buffer {
    return HEADER;
  }

  /** Returns an event as the next part of the stream. */
  add({ bytes, compressed }: EncodedEvent): Buffer {
    this.#checksum = crc32(bytes, this.#checksum);
    this.#bytes += bytes.length;
    return compressed;
  }

  /** Returns the end of the stream. */
  end(): Buffer {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#checksum, 0);
    // RFC 1952 defines the size modulo 2^32.
    trailer.writeUInt32LE(this.#bytes % 2 ** 32, 4);
    return Buffer.concat([LAST_BLOCK, trailer]);
  }
}
