/** Returns whether an error means that a file does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Returns a size in MiB, rounded up, for messages. */
export function mebibytes(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024));
}
