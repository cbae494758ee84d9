import { readFileSync } from "node:fs";
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extractShipped } from "@berth/proto/archive";
import { isSha256Digest, parseImageConfig, readSavedImage, sha256Digest } from "@berth/proto/images";
import { type Headers, pack } from "tar-stream";
import { isBerthError } from "../../../proto/src/errors.js";
import {
  formatReply,
  formatRequest,
  LineReader,
  parseReply,
  parseRequest,
} from "../../../proto/src/rpc/download-protocol.js";
import { check, checkEqual, isTypedError, unlessRejected } from "../engine/expect.js";
import { chunksOf, collect } from "../engine/stream-input.js";
import type { Target } from "../engine/target.js";

/** Output of `docker save`: an image with an uncompressed and a compressed layer. */
const SAVED_IMAGE = readFileSync(new URL("saved-image.tar", import.meta.url));
const CONFIG = JSON.stringify({
  os: "linux",
  architecture: "arm",
  variant: "v7",
  rootfs: { type: "layers", diff_ids: [sha256Digest(Buffer.from("one")), sha256Digest(Buffer.from("two"))] },
});
/** `proto/src` has another BerthError class than the compiled package. */
const isSourceError = (error: unknown): boolean => isBerthError(error);
/** Matches tar-stream's errors about invalid archives. */
const TAR_ERROR = /tar header|end of data/i;

const SHIPPED_ENTRIES: readonly Headers[] = [
  { name: "shipped/", type: "directory", mode: 0o755 },
  { name: "shipped/app.conf", mode: 0o640 },
  { name: "shipped/link", type: "symlink", linkname: "app.conf" },
];
const HOSTILE_ENTRIES: readonly Headers[] = [
  { name: "shipped/", type: "directory" },
  { name: "shipped/way", type: "symlink", linkname: ".." },
  { name: "shipped/way/../../other" },
  { name: "shipped/hard", type: "link", linkname: "shipped/way/other" },
];

async function archiveOf(entries: readonly Headers[]): Promise<Buffer> {
  const archive = pack();
  for (const header of entries) archive.entry(header, header.type === undefined ? "port 80" : "");
  archive.finalize();
  return Buffer.concat(await collect<Buffer>(archive));
}

export const IMAGE_TARGETS: readonly Target[] = [
  {
    name: "image-config",
    seeds: [CONFIG],
    format: "json",
    run: (bytes) => {
      const config = unlessRejected(() => parseImageConfig(bytes));
      if (config === undefined) return;
      check(config.layers.length <= 200, "the number of layers is bounded");
      check(config.layers.every(isSha256Digest), "a layer is a digest, which is safe in a path");
    },
  },
  {
    name: "saved-image",
    seeds: [SAVED_IMAGE],
    tokens: ["manifest.json", "/layer.tar", "blobs/sha256/"],
    run: async (bytes) => {
      const whole = await readImage([bytes]);
      checkEqual(await readImage(chunksOf(bytes)), whole, "chunks do not matter");
    },
  },
  {
    name: "download-lines",
    seeds: [
      formatRequest({ name: sha256Digest(Buffer.from("one")), offset: 7 }),
      formatReply({ kind: "content", bytes: 9 }),
    ],
    tokens: ["name", "offset", "bytes", "code", "message", "BERTH_NOT_FOUND", "\\n"],
    run: (bytes) => {
      const read = unlessRejected(() => new LineReader().add(bytes), isSourceError);
      if (read === undefined) return;
      const request = unlessRejected(() => parseRequest(read.line), isSourceError);
      if (request !== undefined)
        checkEqual(parseRequest(formatRequest(request)), request, "a request survives");
      const reply = unlessRejected(() => parseReply(read.line), isSourceError);
      if (reply?.kind === "content") checkEqual(parseReply(formatReply(reply)), reply, "a reply survives");
    },
  },
  {
    name: "shipped-archive",
    seeds: [await archiveOf(SHIPPED_ENTRIES), await archiveOf(HOSTILE_ENTRIES)],
    tokens: ["shipped", "ustar", "../", "/etc"],
    run: extractInto,
  },
];

/** Extracts an archive next to another file and checks that the other file has not changed. */
async function extractInto(bytes: Buffer): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "berth-fuzz-shipped-"));
  const path = join(directory, "mount-0");
  try {
    await writeFile(join(directory, "other"), "untouched");
    const archive = Readable.from(chunksOf(bytes), { objectMode: false });
    const isExtracted = await extractShipped(archive, { path, ownerOffset: { uid: 0, gid: 0 } }).then(
      () => true,
      (error: unknown) => {
        // An untyped error must come from tar-stream or the file system.
        if (isTypedError(error) || isStreamError(error) || isFileError(error)) return false;
        throw error;
      },
    );
    const expected = isExtracted ? ["mount-0", "other"] : ["other"];
    checkEqual((await readdir(directory)).sort(), expected, "nothing is written elsewhere");
    checkEqual(await readFile(join(directory, "other"), "utf8"), "untouched", "links are not followed");
    if (isExtracted) check(!(await lstat(path)).isSymbolicLink(), "containers do not mount a link");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function isFileError(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(?:E[A-Z]+|ERR_[A-Z_]+)$/.test(String(error.code));
}

/** Returns the digests of the layers and of the configuration, or undefined if the archive is rejected. */
async function readImage(chunks: readonly Buffer[]): Promise<readonly string[] | undefined> {
  const digests: string[] = [];
  const archive = Readable.from(chunks, { objectMode: false });
  try {
    const config = await readSavedImage(archive, [], async (content) => {
      digests.push(sha256Digest(Buffer.concat(await collect<Buffer>(content))));
    });
    return [...digests, sha256Digest(config)];
  } catch (error) {
    if (isTypedError(error) || isStreamError(error)) return undefined;
    throw error;
  }
}

/** Returns whether an error comes from tar-stream or zlib. */
function isStreamError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const isZlibError = "code" in error && String(error.code).startsWith("Z_");
  return isZlibError || TAR_ERROR.test(error.message);
}
