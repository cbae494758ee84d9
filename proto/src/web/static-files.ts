import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { acceptsEncoding } from "./accepts-encoding.js";

/** Maximum number of files of the web UI, which has about 20 files with a few hundred kilobytes. */
const MAX_FILES = 500;

/** Maximum size of all files of the web UI. */
const MAX_TOTAL_BYTES = 32 * 1024 * 1024;

/** Directory of the files whose names contain the hash of their content. */
const HASHED_DIRECTORY = "assets/";
const INDEX = "index.html";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".md": "text/markdown; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/** Encodings of a file that the build has prepared, in order of preference. */
const ENCODINGS = [
  { name: "br", suffix: ".br" },
  { name: "gzip", suffix: ".gz" },
] as const;

export interface StaticRequest {
  /** Path of the URL: "/assets/app-1a2b.js". */
  readonly path: string;
  readonly acceptEncoding: string;
  readonly ifNoneMatch: string;
}

export interface StaticResponse {
  readonly status: 200 | 304 | 404;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Files of the web UI, in memory. */
export class StaticFiles {
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #etags = new Map<string, string>();

  private constructor(files: ReadonlyMap<string, Buffer>) {
    this.#files = files;
  }

  /**
   * Reads the files of a directory. A directory that does not exist has no files.
   *
   * @throws Error beyond the limits
   */
  static async read(directory: string): Promise<StaticFiles> {
    const files = new Map<string, Buffer>();
    let bytes = 0;
    for (const path of await filesIn(directory)) {
      const content = await readFile(path);
      bytes += content.length;
      if (files.size >= MAX_FILES || bytes > MAX_TOTAL_BYTES) {
        throw new Error(`${directory} is too large for a web UI`);
      }
      files.set(relative(directory, path).split(sep).join("/"), content);
    }
    return new StaticFiles(files);
  }

  respond({ path, acceptEncoding, ifNoneMatch }: StaticRequest): StaticResponse {
    const name = this.#nameOf(path);
    const content = name === undefined ? undefined : this.#files.get(name);
    if (name === undefined || content === undefined) {
      return notFound({ isEmptyBuild: this.#files.size === 0 });
    }
    const isHashed = name.startsWith(HASHED_DIRECTORY);
    const etag = this.#etagOf(name, content);
    const headers = {
      "content-type": CONTENT_TYPES[extname(name)] ?? "application/octet-stream",
      "cache-control": isHashed ? "public, max-age=31536000, immutable" : "no-cache",
      etag,
      vary: "accept-encoding",
    };
    if (ifNoneMatch.split(",").some((known) => known.trim() === etag)) {
      return { status: 304, headers, body: Buffer.alloc(0) };
    }
    for (const { name: encoding, suffix } of ENCODINGS) {
      const compressed = acceptsEncoding(acceptEncoding, encoding)
        ? this.#files.get(name + suffix)
        : undefined;
      if (compressed !== undefined) {
        return { status: 200, headers: { ...headers, "content-encoding": encoding }, body: compressed };
      }
    }
    return { status: 200, headers, body: content };
  }

  /** Returns the file of a path. Paths without an extension are places in the web UI. */
  #nameOf(path: string): string | undefined {
    const name = path.slice(1);
    if (this.#files.has(name)) return name;
    return extname(name) === "" ? INDEX : undefined;
  }

  #etagOf(name: string, content: Buffer): string {
    let etag = this.#etags.get(name);
    if (etag === undefined) {
      etag = `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"`;
      this.#etags.set(name, etag);
    }
    return etag;
  }
}

async function filesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function notFound({ isEmptyBuild }: { readonly isEmptyBuild: boolean }): StaticResponse {
  const text = isEmptyBuild ? "this build has no web UI; the API is at /api/openapi.json" : "not found";
  return {
    status: 404,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
    body: Buffer.from(`${text}\n`),
  };
}
