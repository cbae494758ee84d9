import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import type { BenchContext } from "./run-bench.js";

const HELLO_SOURCE = join(REPO_ROOT, "deploy/images/hello");
/** Address range of all labs. Docker accepts a registry without TLS there. */
const LAB_NETWORK = "10.0.0.0/8";

export interface BenchLabOptions {
  /** One letter that becomes part of the lab's name. */
  readonly tag: string;
  readonly hosts: number;
  readonly hasBerth: boolean;
  /** Number of hosts that run a server. Undefined for one server on a separate machine. */
  readonly servers?: number | undefined;
}

/**
 * Creates a lab for `use` and removes it afterwards. The name marks it as a test lab, so that the next `createLab` on
 * this machine removes it if the benchmark is killed.
 */
export async function withBenchLab<T>(
  { tag, hosts, hasBerth, servers }: BenchLabOptions,
  { signal, progress }: BenchContext,
  use: (lab: Lab) => Promise<T>,
): Promise<T> {
  const name = `t-${tag}-${randomBytes(3).toString("hex")}`;
  progress(`lab ${name}: ${hosts} Docker hosts`);
  const dockerConfig = { "insecure-registries": [LAB_NETWORK] };
  const lab = await createLab({
    name,
    hosts,
    hasBerth,
    ...(servers && { servers }),
    dockerConfig,
    signal,
  });
  try {
    return await use(lab);
  } finally {
    await lab.down();
  }
}

/** Loads the image that all replicas use: a static BusyBox that serves one page on port 80. */
export async function loadHello(lab: Lab, tag: string): Promise<void> {
  await lab.loadImage(HELLO_SOURCE, tag);
}
