import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, type Headers } from "tar-stream";
import { invalidImageError, MAX_CONFIG_BYTES } from "./image-config.js";
import { legacyLayerDigest } from "./legacy-layer.js";

/** Number of bytes that suffice to recognize an entry's type: the length of a tar header. */
const PREFIX_BYTES = 512;
/** Offset of "ustar" in a tar archive. */
const USTAR_OFFSET = 257;
/** Maximum number of documents of an archive: manifests, and one configuration for each layer in older formats. */
const MAX_DOCUMENTS = 1_000;
const BLOB_NAME = /^blobs\/sha256\/([a-f0-9]{64})$/;

/**
 * Reads one layer of an archive, as an uncompressed tar archive. A layer that is not read is skipped.
 *
 * @param digest as the archive says. Undefined if only the content can tell it
 */
export type LayerReader = (content: Readable, digest: string | undefined) => Promise<void>;

/**
 * Reads an archive of one image, as `docker save` writes it, and returns the configuration of the image. Layers are
 * passed to `onLayer` one after another, in no particular order.
 *
 * Docker before 25.0 names layers `ID/layer.tar`. Later versions write the layout of OCI with `blobs/sha256/DIGEST`.
 * With containerd's image store, layers can be compressed.
 *
 * @param layers digests of the layers of the image, in order
 * @throws BerthError BERTH_IMAGE_INVALID; the errors of the archive's stream and of `onLayer`
 */
export async function readSavedImage(
  archive: Readable,
  layers: readonly string[],
  onLayer: LayerReader,
): Promise<Buffer> {
  const documents = new Map<string, Buffer>();
  const parser = extract();
  const handleEntry = async (header: Headers, content: Readable): Promise<void> => {
    if (header.type !== "file" || header.size === 0) return;
    const prefix = await readPrefix(content);
    if (isDocument(prefix)) {
      if (documents.size >= MAX_DOCUMENTS) throw invalidImageError("it has too many documents");
      documents.set(header.name, await readDocument(prefix, content));
      return;
    }
    if (!isLayerName(header.name)) return;
    await readLayer(prefix, content, digestOf(header.name, documents, layers), onLayer);
  };
  parser.on("entry", (header, content, next) => {
    handleEntry(header, content).then(
      () => {
        content.resume();
        next();
      },
      (error: unknown) => void parser.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  });
  await pipeline(archive, parser);
  return configOf(documents);
}

function isLayerName(name: string): boolean {
  return name.endsWith("/layer.tar") || BLOB_NAME.test(name);
}

/** Returns a layer's digest from its name and earlier entries of the archive. */
function digestOf(
  name: string,
  documents: ReadonlyMap<string, Buffer>,
  layers: readonly string[],
): string | undefined {
  const [, hex] = BLOB_NAME.exec(name) ?? [];
  if (hex !== undefined) return `sha256:${hex}`;
  const directory = name.slice(0, name.lastIndexOf("/"));
  const description = documents.get(`${directory}/json`);
  return description && legacyLayerDigest(directory, description, layers);
}

async function readLayer(
  prefix: Buffer,
  content: Readable,
  digest: string | undefined,
  onLayer: LayerReader,
): Promise<void> {
  const whole = Readable.from(concatenate(prefix, content), { objectMode: false });
  if (!isGzip(prefix)) {
    await onLayer(whole, digest);
    return;
  }
  const layer = new PassThrough();
  const unpacked = pipeline(whole, createGunzip(), layer);
  // An error reaches the reader of the layer. This only prevents an unhandled rejection.
  unpacked.catch(() => {});
  await onLayer(layer, undefined);
  layer.resume();
  await unpacked;
}

async function* concatenate(prefix: Buffer, content: Readable): AsyncGenerator<Buffer> {
  yield prefix;
  yield* content;
}

/** Reads the first bytes of an entry. Returns fewer when the entry is shorter. */
async function readPrefix(content: Readable): Promise<Buffer> {
  let prefix = Buffer.alloc(0);
  while (prefix.length < PREFIX_BYTES) {
    const chunk: Buffer | null = content.read();
    if (chunk !== null) {
      prefix = Buffer.concat([prefix, chunk]);
    } else if (content.readableEnded || !(await waitForMore(content))) {
      break;
    }
  }
  return prefix;
}

/** Resolves with false at the end of the stream. */
function waitForMore(content: Readable): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const settle = (hasMore: boolean) => () => {
      for (const [event, listener] of listeners) content.off(event, listener);
      resolve(hasMore);
    };
    const fail = (error: unknown): void => reject(error);
    const listeners: readonly [string, (...args: unknown[]) => void][] = [
      ["readable", settle(true)],
      ["end", settle(false)],
      ["close", settle(false)],
      ["error", fail],
    ];
    for (const [event, listener] of listeners) content.once(event, listener);
  });
}

function isDocument(prefix: Buffer): boolean {
  const isTar = prefix.toString("latin1", USTAR_OFFSET, USTAR_OFFSET + 5) === "ustar";
  return !isTar && (prefix[0] === 0x7b || prefix[0] === 0x5b);
}

function isGzip(prefix: Buffer): boolean {
  return prefix[0] === 0x1f && prefix[1] === 0x8b;
}

async function readDocument(prefix: Buffer, content: Readable): Promise<Buffer> {
  const chunks = [prefix];
  let bytes = prefix.length;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > MAX_CONFIG_BYTES) throw invalidImageError("a document is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Returns the configuration that the manifest names. */
function configOf(documents: ReadonlyMap<string, Buffer>): Buffer {
  const manifest = documents.get("manifest.json");
  if (manifest === undefined) throw invalidImageError("the archive has no manifest.json");
  const images: unknown = JSON.parse(manifest.toString("utf8"));
  const [image, ...others] = Array.isArray(images) ? images : [];
  if (others.length > 0) throw invalidImageError("the archive has several images");
  const config = documents.get(String(image?.Config));
  if (config === undefined) throw invalidImageError("the archive has no configuration");
  return config;
}
