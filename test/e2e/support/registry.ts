import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "../../../deploy/lab/lab.js";
import { machinePaths } from "../../../deploy/lab/paths.js";
import { runOrThrow } from "../../../deploy/lab/run.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { temporaryDirectory } from "../../harness/temporary-directory.js";

const PORT = 5000;
const READY_TIMEOUT_MS = 15_000;
const PROBE_TIMEOUT_MS = 1_000;
const UNAUTHORIZED = 401;

/** Docker accepts the registry of a lab without TLS. */
export const REGISTRY_DOCKER_CONFIG = { "insecure-registries": ["10.77.0.0/16"] };

export const USER = "ci";

/** Passwords of `USER`, with what `htpasswd -B` returns for them. */
export const PASSWORDS = {
  first: {
    password: "first-password-1",
    hash: "$2b$04$abcdefghijklmnopqrstuuI6cXI9e38bgN7WsaHr0WZahpo10xCLq",
  },
  second: {
    password: "second-password-2",
    hash: "$2b$04$abcdefghijklmnopqrstuudoKWM9KOYBeVKwVbdzxOcARs3DiTTJ.",
  },
} as const;

export type PasswordName = keyof typeof PASSWORDS;

/** Debian's docker-registry with passwords, on the server machine of a lab. It ends with the lab. */
export class TestRegistry {
  /** "address:port", as in the names of images. */
  readonly address: string;
  readonly #lab: Lab;
  readonly #passwordFile: string;

  private constructor(lab: Lab, directory: string) {
    this.#lab = lab;
    this.address = `${lab.serverMachine.address}:${PORT}`;
    this.#passwordFile = join(directory, "htpasswd");
  }

  static async start(lab: Lab): Promise<TestRegistry> {
    const { dataDir } = machinePaths(lab.name, lab.serverMachine.name);
    const directory = join(dataDir, "registry");
    await mkdir(directory, { recursive: true });
    const registry = new TestRegistry(lab, directory);
    await registry.setPassword("first");
    const config = {
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(directory, "images") } },
      http: { addr: registry.address },
      auth: { htpasswd: { realm: "test", path: registry.#passwordFile } },
    };
    const configFile = join(directory, "config.json");
    await writeFile(configFile, JSON.stringify(config));
    const script = 'setsid docker-registry serve "$1" </dev/null >>"$0" 2>&1 &';
    const argv = ["sh", "-c", script, join(directory, "registry.log"), configFile];
    await runOrThrow(lab.serverMachine.commandInside(argv));
    // The registry answers without credentials that it wants some.
    const answers = (): Promise<boolean> =>
      fetch(`http://${registry.address}/v2/`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).then(
        ({ status }) => status === UNAUTHORIZED,
        () => false,
      );
    await waitUntil(answers, { what: `registry at ${registry.address}`, timeoutMs: READY_TIMEOUT_MS });
    return registry;
  }

  /** Makes this the only valid password. The registry notices that the file has changed. */
  async setPassword(name: PasswordName): Promise<void> {
    await writeFile(this.#passwordFile, `${USER}:${PASSWORDS[name].hash}\n`);
  }

  /** Pushes an image of the first host under a name in the registry, and removes that name from the host. */
  async push(image: string, name: string): Promise<string> {
    const docker = await this.#dockerWithLogin();
    const reference = `${this.address}/${name}`;
    await docker("tag", image, reference);
    await docker("push", "--quiet", reference);
    await docker("rmi", reference);
    return reference;
  }

  /** Pushes an image that differs from one of the first host, which no host has afterwards. */
  async pushChanged(image: string, name: string): Promise<string> {
    const docker = await this.#dockerWithLogin();
    const reference = `${this.address}/${name}`;
    const container = (await docker("create", image)).trim();
    await docker("commit", "--change", `LABEL name=${name}`, container, reference);
    await docker("rm", container);
    await docker("push", "--quiet", reference);
    await docker("rmi", reference);
    return reference;
  }

  /** Returns a function that runs Docker commands on the first host, with the first password. */
  async #dockerWithLogin(): Promise<(...args: readonly string[]) => Promise<string>> {
    const [host] = this.#lab.hosts;
    const config = await this.writeClientConfig("first");
    return (...args) =>
      runOrThrow(["docker", "--config", config, "-H", `unix://${host?.dockerSocket}`, ...args]);
  }

  /** Returns a directory with a config.json like the one of `docker login`. */
  async writeClientConfig(name: PasswordName): Promise<string> {
    const directory = temporaryDirectory();
    const auth = Buffer.from(`${USER}:${PASSWORDS[name].password}`).toString("base64");
    await writeFile(join(directory, "config.json"), JSON.stringify({ auths: { [this.address]: { auth } } }));
    return directory;
  }
}
