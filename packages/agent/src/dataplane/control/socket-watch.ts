import { type BigIntStats, statSync } from "node:fs";

const CHECK_MS = 2_000;
/** A directory that is being moved or restored is away for a moment; one that stays away was deleted. */
const MAX_MISSES = 3;

/**
 * Calls `onLost`, once, when the socket file at a path stays away or has become somebody else's: then nobody can reach
 * whoever listens on it any more. To be called when the file is there.
 */
export function watchSocket(path: string, onLost: () => void): void {
  const own = identityOf(path);
  let misses = 0;
  const timer = setInterval(() => {
    misses = identityOf(path) === own ? 0 : misses + 1;
    if (misses < MAX_MISSES) return;
    clearInterval(timer);
    onLost();
  }, CHECK_MS);
}

/** Inode numbers are used again, the time of birth is not. Empty: there is no such file. */
function identityOf(path: string): string {
  try {
    const { dev, ino, birthtimeNs }: BigIntStats = statSync(path, { bigint: true });
    return `${dev}/${ino}/${birthtimeNs}`;
  } catch {
    return "";
  }
}
