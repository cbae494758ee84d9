import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";

/** `/etc/resolv.conf` changes with the network that a host is in. */
const LOOK_AGAIN_MS = 5_000;

/** The servers that this host itself asks. */
export class HostResolvers {
  readonly #path: string;
  readonly #now: () => number;
  #servers: readonly string[] = [];
  #modifiedMs = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #look: Promise<void> = Promise.resolve();

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  /** Never rejects: a file that cannot be read leaves what was known. */
  async servers(): Promise<readonly string[]> {
    if (this.#now() - this.#lookedAtMs >= LOOK_AGAIN_MS) {
      this.#lookedAtMs = this.#now();
      this.#look = this.#lookNow();
    }
    // Also who asks while another one looks: the first of all would know of no server.
    await this.#look;
    return this.#servers;
  }

  async #lookNow(): Promise<void> {
    try {
      const { mtimeMs } = await stat(this.#path);
      if (mtimeMs !== this.#modifiedMs) this.#servers = parseResolvConf(await readFile(this.#path, "utf8"));
      this.#modifiedMs = mtimeMs;
    } catch {
      // A host without resolvers asks nobody, and neither do we.
    }
  }
}

/** The `nameserver` lines of resolv.conf(5). */
export function parseResolvConf(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
    .filter((address) => isIP(address) !== 0);
}
