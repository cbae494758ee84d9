import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { RunResult } from "../../../deploy/lab/run.js";
import { listRunning } from "./containers.js";

const COMPOSE = `
services:
  web:
    image: hello:1
    command: ["/usr/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
    stop_grace_period: 2s
    volumes: ["./pages:/pages:ro", "./web.conf:/etc/web.conf"]
    x-berth: {ship: true}
    deploy: {replicas: 2, update_config: {order: start-first, monitor: 1s}}
`;

/** A directory on the client's machine with a Compose file whose service ships a directory and a file. */
export class Site {
  readonly #directory: string;
  readonly #lab: Lab;

  private constructor(lab: Lab, directory: string) {
    this.#lab = lab;
    this.#directory = directory;
  }

  static async create(lab: Lab): Promise<Site> {
    const directory = await mkdtemp(join(tmpdir(), "berth-site-"));
    await mkdir(join(directory, "pages", "sub"), { recursive: true });
    await writeFile(join(directory, "compose.yaml"), COMPOSE);
    await writeFile(join(directory, "pages", "sub", "run.sh"), "echo ran");
    await chmod(join(directory, "pages", "sub", "run.sh"), 0o750);
    await symlink("sub/run.sh", join(directory, "pages", "link"));
    await writeFile(join(directory, "web.conf"), "port 80\n");
    return new Site(lab, directory);
  }

  writePage(text: string): Promise<void> {
    return writeFile(join(this.#directory, "pages", "index.html"), text);
  }

  deploy(...extra: readonly string[]): Promise<RunResult> {
    const args = ["stack", "deploy", "-c", join(this.#directory, "compose.yaml"), ...extra, "site"];
    return this.#lab.berth(args, { timeoutMs: 120_000 });
  }

  /** Runs a shell command in each running container, and returns the outputs. */
  async inContainers(command: string): Promise<readonly string[]> {
    const running = await listRunning(this.#lab, "site_web");
    const sorted = running.toSorted((a, b) => String(a.slot).localeCompare(String(b.slot)));
    return Promise.all(
      sorted.map(async ({ host, id }) => {
        const shell = ["/usr/bin/busybox", "sh", "-c", command];
        const argv = ["docker", "-H", "unix:///run/docker.sock", "exec", id, ...shell];
        const { stdout, stderr } = await this.#lab.host(host).exec(argv);
        return `${stdout}${stderr}`.trim();
      }),
    );
  }

  remove(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }
}
