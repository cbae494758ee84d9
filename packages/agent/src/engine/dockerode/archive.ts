import type { Readable } from "node:stream";
import { readField, readNumber, readString } from "../../core/docker/json.js";
import type { ContainerFile, EngineArchive, EngineCall, WriteArchiveOptions } from "../engine.js";
import { EngineError, isEngineError } from "../engine-error.js";
import type { EngineClient } from "./client.js";

/** Timeout of the request for a copy. The caller ends a copy earlier. */
const MAX_COPY_MS = 24 * 60 * 60 * 1_000;

const STAT_HEADER = "x-docker-container-path-stat";

/** Describes a file, whose path Docker resolves in the root of the container. Returns undefined if it does not exist. */
export async function statFile(
  client: EngineClient,
  { containerId, path }: ArchivePath,
  { signal }: EngineCall,
): Promise<ContainerFile | undefined> {
  try {
    const response = await client.stream({ method: "HEAD", ...archiveCall(containerId, path), signal });
    response.resume();
    return parseStat(response.headers[STAT_HEADER]);
  } catch (error) {
    if (isEngineError(error, "not-found")) return undefined;
    throw error;
  }
}

/** Reads a path as a tar archive, no faster than it is consumed. */
export async function readArchive(
  client: EngineClient,
  { containerId, path }: ArchivePath,
  { signal }: EngineCall,
): Promise<EngineArchive> {
  const response = await client.stream({ method: "GET", ...archiveCall(containerId, path), signal });
  return { file: parseStat(response.headers[STAT_HEADER]), chunks: response };
}

/** Extracts a tar archive into a directory of the container. */
export async function writeArchive(
  client: EngineClient,
  archive: Readable,
  { containerId, path, keepTypes, keepOwners, signal }: WriteArchiveOptions & ArchivePath,
): Promise<void> {
  const call = archiveCall(containerId, path);
  const query = {
    ...call.query,
    ...(keepTypes ? { noOverwriteDirNonDir: "true" } : {}),
    ...(keepOwners ? { copyUIDGID: "true" } : {}),
  };
  await client.request({ method: "PUT", path: call.path, query, archive, signal, timeoutMs: MAX_COPY_MS });
}

export interface ArchivePath {
  readonly containerId: string;
  readonly path: string;
}

function archiveCall(containerId: string, path: string): { path: string; query: { path: string } } {
  return { path: `/containers/${encodeURIComponent(containerId)}/archive`, query: { path } };
}

/** Parses Docker's description of a path: JSON in base64. */
function parseStat(header: unknown): ContainerFile {
  const text = Buffer.from(readString(header), "base64").toString();
  if (text === "") throw new EngineError("failed", "Docker did not describe the path");
  const json: unknown = JSON.parse(text);
  return {
    name: readString(readField(json, "name")),
    sizeBytes: readNumber(readField(json, "size")),
    mode: readNumber(readField(json, "mode")),
    linkTarget: readString(readField(json, "linkTarget")),
  };
}
