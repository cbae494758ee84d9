import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Readable, Writable } from "node:stream";
import { readField, readList, readNumber, readString } from "../../core/docker/json.js";
import type { EngineCall } from "../engine.js";
import { EngineError, isEngineError } from "../engine-error.js";
import type { ImageEngine, LocalImage } from "../image-engine.js";
import { EngineClient } from "./client.js";
import { imageName } from "./image-path.js";
import { readNdjson } from "./ndjson.js";

/** Timeout until Docker responds with an archive. Docker before 25.0 writes the whole archive to its disk first. */
const SAVE_TIMEOUT_MS = 10 * 60_000;
const REMOVE_TIMEOUT_MS = 120_000;
/** Maximum number of images that are listed. Further images are ignored. */
const MAX_IMAGES = 1_000;
const SUCCESS_CODE = 200;

/** Implements {@link ImageEngine} for the Docker daemon behind a Unix socket. */
export class DockerImages implements ImageEngine {
  readonly #socketPath: string;
  readonly #client: EngineClient;
  /** Layers of images by image ID. They never change. */
  readonly #layers = new Map<string, readonly string[]>();

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#client = new EngineClient(socketPath);
  }

  async listImages({ signal }: EngineCall): Promise<readonly LocalImage[]> {
    const json = await this.#client.request({ method: "GET", path: "/images/json", signal });
    const images: LocalImage[] = [];
    for (const each of readList(json).slice(0, MAX_IMAGES)) {
      const image = await this.#complete(parseSummary(each), signal);
      if (image !== undefined) images.push(image);
    }
    const ids = new Set(images.map(({ id }) => id));
    for (const id of this.#layers.keys()) {
      if (!ids.has(id)) this.#layers.delete(id);
    }
    return images;
  }

  async diskUsage({ signal }: EngineCall): Promise<number> {
    // Docker before 23.0 ignores the type, and takes longer.
    const query = { type: "image" };
    const json = await this.#client.request({ method: "GET", path: "/system/df", query, signal });
    return readNumber(readField(json, "LayersSize"));
  }

  async inspectImage(image: string, { signal }: EngineCall): Promise<LocalImage | undefined> {
    const path = `/images/${image.startsWith("sha256:") ? image : imageName(image)}/json`;
    try {
      return parseInspection(await this.#client.request({ method: "GET", path, signal }));
    } catch (error) {
      if (isEngineError(error, "no-such-image") || isEngineError(error, "not-found")) return undefined;
      throw error;
    }
  }

  saveImage(image: string, { signal }: EngineCall): Promise<Readable> {
    const query = { names: image };
    return this.#client.stream({
      method: "GET",
      path: "/images/get",
      query,
      signal,
      timeoutMs: SAVE_TIMEOUT_MS,
    });
  }

  async loadImage(write: (output: Writable) => Promise<void>, { signal }: EngineCall): Promise<void> {
    const path = "/images/load?quiet=1";
    const headers = { "content-type": "application/x-tar" };
    const call = httpRequest({ socketPath: this.#socketPath, method: "POST", path, headers, signal });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      call.once("response", resolve);
      call.on("error", reject);
    });
    // An error before the response is also an error of `write`.
    response.catch(() => {});
    try {
      await write(call);
      call.end();
      await readResult(await response);
    } catch (error) {
      call.destroy();
      signal.throwIfAborted();
      if (error instanceof EngineError) throw error;
      const text = error instanceof Error ? error.message : String(error);
      throw new EngineError("failed", `Docker did not load the image: ${text}`, error);
    }
  }

  async tagImage(imageId: string, name: string, { signal }: EngineCall): Promise<void> {
    const colon = name.lastIndexOf(":");
    const query = { repo: name.slice(0, colon), tag: name.slice(colon + 1) };
    await this.#client.request({ method: "POST", path: `/images/${imageId}/tag`, query, signal });
  }

  async removeImage(name: string, { signal }: EngineCall): Promise<void> {
    const path = `/images/${imageName(name)}`;
    try {
      await this.#client.request({ method: "DELETE", path, signal, timeoutMs: REMOVE_TIMEOUT_MS });
    } catch (error) {
      if (!isEngineError(error, "no-such-image") && !isEngineError(error, "not-found")) throw error;
    }
  }

  /** Adds the layers, which listings lack. Returns undefined for an image that was just removed. */
  async #complete(image: LocalImage, signal: AbortSignal): Promise<LocalImage | undefined> {
    const cached = this.#layers.get(image.id);
    if (cached !== undefined) return { ...image, layers: cached };
    const inspected = await this.inspectImage(image.id, { signal });
    if (inspected === undefined) return undefined;
    this.#layers.set(image.id, inspected.layers);
    return { ...image, layers: inspected.layers };
  }
}

/** @throws EngineError with the message of Docker, which answers 200 before it loads the image */
async function readResult(response: IncomingMessage): Promise<void> {
  if (response.statusCode !== SUCCESS_CODE) {
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8", 0, 2_000);
    throw new EngineError("failed", `Docker did not load the image: ${text}`);
  }
  for await (const line of readNdjson(response)) {
    const error = readString(readField(line, "error"));
    if (error !== "") throw new EngineError("failed", `Docker did not load the image: ${error}`);
  }
}

function parseSummary(json: unknown): LocalImage {
  return {
    id: readString(readField(json, "Id")),
    names: readNames(readField(json, "RepoTags")),
    repoDigests: readNames(readField(json, "RepoDigests")),
    sizeBytes: readNumber(readField(json, "Size")),
    createdMs: readNumber(readField(json, "Created")) * 1_000,
    layers: [],
    taggedMs: 0,
  };
}

function parseInspection(json: unknown): LocalImage {
  return {
    id: readString(readField(json, "Id")),
    names: readNames(readField(json, "RepoTags")),
    repoDigests: readNames(readField(json, "RepoDigests")),
    sizeBytes: readNumber(readField(json, "Size")),
    createdMs: readTimeMs(readField(json, "Created")),
    layers: readList(readField(readField(json, "RootFS"), "Layers")).map(readString),
    taggedMs: readTimeMs(readField(readField(json, "Metadata"), "LastTagTime")),
  };
}

/** Reads the names of an image. Docker before 25.0 lists an image without a name as "<none>:<none>". */
function readNames(value: unknown): readonly string[] {
  return readList(value)
    .map(readString)
    .filter((name) => name !== "" && !name.startsWith("<none>"));
}

/** Reads a time. Docker gives an image without a time the year 1, which counts as 0. */
function readTimeMs(value: unknown): number {
  return Math.max(0, Date.parse(readString(value)) || 0);
}
