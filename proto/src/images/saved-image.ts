import { PassThrough, Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { extract, type Headers } from "tar-stream";
import { BerthError } from "../errors.js";
import { invalidImageError, MAX_CONFIG_BYTES } from "./image-config.js";
import { legacyLayerDigest } from "./legacy-layer.js";

/** Number of bytes that suffice to recognize an entry's type: the length of a tar header. */
const PREFIX_BYTES = 512;
/** Offset of "ustar" in a tar archive. */
const USTAR_OFFSET = 257;
/** Maximum number of JSON files in an archive: manifests, and one configuration for each layer in older formats. */
const MAX_JSON_FILES = 1_000;
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const BLOB_NAME = /^blobs\/sha256\/([a-f0-9]{64})$/;

/**
 * Receives one layer as an uncompressed tar stream. May return without reading it.
 *
 * @param digest digest of the uncompressed layer if the archive states it, otherwise undefined
 */
export type LayerReader = (content: Readable, digest: string | undefined) => Promise<void>;

/**
 * Reads an archive of one image, as `docker save` writes it, and returns the configuration of the image. Layers are
 * passed to `onLayer` one after another, in no particular order.
 *
 * Docker before 25.0 names layers `ID/layer.tar`. Later versions use the OCI image layout, `blobs/sha256/DIGEST`. With
 * containerd's image store, layers can be compressed.
 *
 * @param layers digests of the layers of the image, in order
 * @throws BerthError BERTH_IMAGE_INVALID; BERTH_UNSUPPORTED for a layer compressed with zstd, which needs Node.js 22.15;
 *   the errors of the archive's stream and of `onLayer`
 */
export async function readSavedImage(
  archive: Readable,
  layers: readonly string[],
  onLayer: LayerReader,
): Promise<Buffer> {
  const jsonFiles = new Map<string, Buffer>();
  const parser = extract();
  const handleEntry = async (header: Headers, content: Readable): Promise<void> => {
    if (header.type !== "file" || header.size === 0) return;
    const prefix = await readPrefix(content);
    if (isJson(prefix)) {
      if (jsonFiles.size >= MAX_JSON_FILES) {
        throw invalidImageError(`the archive has more than ${MAX_JSON_FILES} JSON files`);
      }
      jsonFiles.set(header.name, await readJsonFile(prefix, content));
      return;
    }
    if (!isLayerName(header.name)) return;
    await readLayer(prefix, content, findLayerDigest(header.name, jsonFiles, layers), onLayer);
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
  return findConfig(jsonFiles);
}

function isLayerName(name: string): boolean {
  return name.endsWith("/layer.tar") || BLOB_NAME.test(name);
}

/** Returns a layer's digest from its name, or from earlier entries of the archive. */
function findLayerDigest(
  name: string,
  jsonFiles: ReadonlyMap<string, Buffer>,
  layers: readonly string[],
): string | undefined {
  const [, hex] = BLOB_NAME.exec(name) ?? [];
  if (hex !== undefined) return `sha256:${hex}`;
  const directory = name.slice(0, name.lastIndexOf("/"));
  const description = jsonFiles.get(`${directory}/json`);
  return description && legacyLayerDigest(directory, description, layers);
}

async function readLayer(
  prefix: Buffer,
  content: Readable,
  digest: string | undefined,
  onLayer: LayerReader,
): Promise<void> {
  const entry = Readable.from(concatenate(prefix, content), { objectMode: false });
  const decompressor = createDecompressor(prefix);
  if (decompressor === undefined) {
    await onLayer(entry, digest);
    return;
  }
  const layer = new PassThrough();
  const unpacked = pipeline(entry, decompressor, layer);
  // The reader of the layer sees the error; this prevents an unhandled rejection.
  unpacked.catch(() => {});
  await onLayer(layer, undefined);
  layer.resume();
  await unpacked;
}

/**
 * Returns a stream that decompresses a layer, or undefined if the layer is not compressed.
 *
 * @throws BerthError BERTH_UNSUPPORTED
 */
function createDecompressor(prefix: Buffer): Transform | undefined {
  if (prefix.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return zlib.createGunzip();
  if (!prefix.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC)) return undefined;
  // Undefined in Node.js 20, whose types the compiler uses.
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress === undefined) {
    throw new BerthError({
      code: "BERTH_UNSUPPORTED",
      message: `cannot read a layer compressed with zstd: Node.js ${process.versions.node} has no zstd; use Node.js 22.15 or later`,
    });
  }
  return createZstdDecompress();
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
    } else if (content.readableEnded || content.destroyed || !(await waitForMore(content))) {
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
    const listeners: readonly [string, (...args: unknown[]) => void][] = [
      ["readable", settle(true)],
      ["end", settle(false)],
      ["close", settle(false)],
      ["error", reject],
    ];
    for (const [event, listener] of listeners) content.once(event, listener);
  });
}

function isJson(prefix: Buffer): boolean {
  const isTar = prefix.toString("latin1", USTAR_OFFSET, USTAR_OFFSET + 5) === "ustar";
  return !isTar && /^[{[]/.test(prefix.toString("latin1", 0, 1));
}

async function readJsonFile(prefix: Buffer, content: Readable): Promise<Buffer> {
  const chunks = [prefix];
  let bytes = prefix.length;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > MAX_CONFIG_BYTES) {
      throw invalidImageError(`a JSON file has more than ${MAX_CONFIG_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Returns the configuration that the manifest names. */
function findConfig(jsonFiles: ReadonlyMap<string, Buffer>): Buffer {
  const manifest = jsonFiles.get("manifest.json");
  if (manifest === undefined) throw invalidImageError("the archive has no manifest.json");
  const images = parseManifest(manifest);
  if (images.length > 1) throw invalidImageError("the archive has several images");
  const [image] = images;
  const name = typeof image === "object" && image !== null && "Config" in image ? image.Config : undefined;
  const config = typeof name === "string" ? jsonFiles.get(name) : undefined;
  if (config === undefined) throw invalidImageError("the archive has no configuration");
  return config;
}

function parseManifest(manifest: Buffer): readonly unknown[] {
  try {
    const images: unknown = JSON.parse(manifest.toString("utf8"));
    return Array.isArray(images) ? images : [];
  } catch {
    throw invalidImageError("its manifest.json is not JSON");
  }
}
