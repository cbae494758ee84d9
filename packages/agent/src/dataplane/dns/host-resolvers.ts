import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";

/** How often `/etc/resolv.conf` is checked: it changes with the host's network. */
const RESOLV_CONF_CHECK_MS = 5_000;

/** Reads the name servers that this host itself uses from resolv.conf(5). */
export class HostResolvers {
  readonly #path: string;
  readonly #now: () => number;
  #servers: readonly string[] = [];
  #modifiedMs = 0;
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  #check: Promise<void> = Promise.resolve();

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  /**
   * Returns the addresses of the name servers. Returns the last known ones when the file cannot be read. Never rejects.
   */
  async servers(): Promise<readonly string[]> {
    if (this.#now() - this.#checkedAtMs >= RESOLV_CONF_CHECK_MS) {
      this.#checkedAtMs = this.#now();
      this.#check = this.#checkFile();
    }
    // Concurrent callers wait as well: before the first check, no server is known.
    await this.#check;
    return this.#servers;
  }

  async #checkFile(): Promise<void> {
    try {
      const { mtimeMs } = await stat(this.#path);
      if (mtimeMs !== this.#modifiedMs) this.#servers = parseResolvConf(await readFile(this.#path, "utf8"));
      this.#modifiedMs = mtimeMs;
    } catch {
      // Without a resolv.conf, external names cannot be resolved.
    }
  }
}

/** Returns the addresses of the `nameserver` lines. */
export function parseResolvConf(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
    .filter((address) => isIP(address) !== 0);
}
