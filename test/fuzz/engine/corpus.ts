import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Failure } from "./execute.js";

export const DEFAULT_CORPUS = fileURLToPath(new URL("../corpus", import.meta.url));

/**
 * Name prefix of inputs that once failed. They are never removed, so that `npm test` proves that the bug stays fixed.
 */
const FAILURE_PREFIX = "failed-";
const HASH_LENGTH = 12;

/** Reads a target's kept inputs, in file name order. */
export function readCorpus(directory: string, target: string): readonly Buffer[] {
  const path = join(directory, target);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .sort()
    .map((name) => readFileSync(join(path, name)));
}

/** Reads the YAML and env files in a directory and its subdirectories that are at most `maxBytes` long. */
export function readSeeds(directory: string, maxBytes: number): readonly Buffer[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ya?ml$|\.env$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => readFileSync(path))
    .filter((bytes) => bytes.length <= maxBytes);
}

/** Replaces a target's kept inputs, except those that once failed. */
export function replaceCorpus(directory: string, target: string, inputs: readonly Buffer[]): void {
  const path = join(directory, target);
  mkdirSync(path, { recursive: true });
  const kept = new Set(inputs.map(hashOf));
  for (const name of readdirSync(path)) {
    if (!name.startsWith(FAILURE_PREFIX) && !kept.has(name)) rmSync(join(path, name));
  }
  for (const input of inputs) writeFileSync(join(path, hashOf(input)), input);
}

/** Saves the input that caused a failure. Returns the path of the file. */
export function saveFailure(directory: string, target: string, { input }: Failure): string {
  const path = join(directory, target);
  mkdirSync(path, { recursive: true });
  const file = join(path, `${FAILURE_PREFIX}${hashOf(input)}`);
  writeFileSync(file, input);
  return file;
}

function hashOf(input: Buffer): string {
  return createHash("sha256").update(input).digest("hex").slice(0, HASH_LENGTH);
}
