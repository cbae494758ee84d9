import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createLab, type Lab } from "../../deploy/lab/lab.js";
import { REPO_ROOT } from "../../deploy/lab/paths.js";
import type { BenchContext } from "./run-bench.js";

const HELLO_SOURCE = join(REPO_ROOT, "deploy/images/hello");
/** Where a lab's addresses are: its registry speaks plain HTTP. */
const LAB_NETWORK = "10.0.0.0/8";

export interface BenchLabOptions {
  /** One letter or so: labs' names are short. */
  readonly tag: string;
  readonly hosts: number;
  readonly berth: boolean;
  /** On so many of the hosts; absent: one on a machine of its own. */
  readonly servers?: number | undefined;
}

/**
 * Brings a lab up for `use`, and takes it down whatever happens. Its name makes it a test lab: should the benchmark
 * be killed, the next lab on this machine removes it.
 */
export async function withBenchLab<T>(
  { tag, hosts, berth, servers }: BenchLabOptions,
  { signal, progress }: BenchContext,
  use: (lab: Lab) => Promise<T>,
): Promise<T> {
  const name = `t-${tag}-${randomBytes(3).toString("hex")}`;
  progress(`lab ${name}: ${hosts} Docker hosts`);
  const dockerConfig = { "insecure-registries": [LAB_NETWORK] };
  const lab = await createLab({ name, hosts, berth, ...(servers && { servers }), dockerConfig, signal });
  try {
    return await use(lab);
  } finally {
    await lab.down();
  }
}

/** The image of all replicas, of berth's and of its peers': a static busybox that serves one page on port 80. */
export async function loadHello(lab: Lab, tag: string): Promise<void> {
  await lab.loadImage(HELLO_SOURCE, tag);
}
