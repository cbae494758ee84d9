import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SavedContext } from "../client/contexts.js";
import { run } from "../main.js";
import { type FakeCliOptions, fakeCli } from "./fake-cli.js";
import type { BerthResult } from "./run-berth.js";

/** A directory with the saved contexts of a user. */
export class ContextHome {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<ContextHome> {
    return new ContextHome(await mkdtemp(join(tmpdir(), "berth-context-")));
  }

  get configFile(): string {
    return join(this.path, "berth", "config.json");
  }

  identityDirectory(identity: string): string {
    return join(this.path, "berth", "contexts", identity);
  }

  /** Returns the names of all directories with identities. */
  async identities(): Promise<readonly string[]> {
    return readdir(join(this.path, "berth", "contexts")).catch(() => []);
  }

  /** Saves a context and makes it the current one. */
  async save(name: string, saved: SavedContext): Promise<void> {
    await mkdir(join(this.path, "berth"), { recursive: true });
    await writeFile(this.configFile, JSON.stringify({ current: name, contexts: { [name]: saved } }));
  }

  /** Runs a command line, split at spaces, with these contexts. */
  async berth(line: string, options: FakeCliOptions = {}): Promise<BerthResult> {
    const cli = fakeCli({ ...options, env: { XDG_CONFIG_HOME: this.path, ...options.env } });
    const code = await run(line.split(" "), cli);
    return { code, out: cli.out(), err: cli.err() };
  }

  async remove(): Promise<void> {
    // A command may still renew its certificate in the background and create files meanwhile.
    await rm(this.path, { recursive: true, force: true, maxRetries: 10 });
  }
}
