import { cliCommand } from "../../../deploy/lab/berth-commands.js";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { type RunResult, run } from "../../../deploy/lab/run.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";

/** Timeout of a transfer: ten times its duration on a busy machine. */
const TRANSFER_TIMEOUT_MS = 600_000;
const LISTEN_TIMEOUT_MS = 30_000;
/** Port of the archive receivers, one in each node's network namespace. */
const PIPE_PORT = 9_100;

/** The machines on which the benchmark runs. */
export interface ImageLab {
  readonly lab: Lab;
  /** Has the image and runs the CLI. Not a node of the cluster. */
  readonly laptop: LabHost;
  /** The nodes that receive the image. */
  readonly nodes: readonly LabHost[];
  /** `ADDRESS:PORT` of the image registry. */
  readonly registry: string;
  readonly signal: AbortSignal;
}

/** A way to distribute an image from the laptop to all nodes. */
export interface Distributor {
  readonly name: DistributorName;
  /** Prepares one transfer. Not included in the measured time. */
  readonly prepare?: (image: string) => Promise<void>;
  readonly distribute: (image: string) => Promise<void>;
}

export type DistributorName = "berth" | "save_load" | "registry";

/** Distributes with `berth image push`. */
export function berthDistributor({ lab, laptop, nodes, signal }: ImageLab): Distributor {
  const targets = nodes.flatMap(({ name }) => ["--node", name]);
  return {
    name: "berth",
    distribute: (image) =>
      succeed(laptop, cliCommand(["image", "push", ...targets, image]), { env: lab.cliEnv(), signal }),
  };
}

/** Distributes with `docker save | docker load` to all nodes at once, over bare TCP connections. */
export function saveLoadDistributor({ laptop, nodes, signal }: ImageLab): Distributor {
  let receivers: readonly Promise<void>[] = [];
  return {
    name: "save_load",
    prepare: async () => {
      receivers = nodes.map((node) =>
        succeed(node, ["sh", "-c", `busybox nc -l -p ${PIPE_PORT} </dev/null | docker load --quiet`], {
          signal,
        }),
      );
      for (const receiver of receivers) receiver.catch(() => {});
      await Promise.all(nodes.map((node) => waitUntilListening(node, signal)));
    },
    distribute: async (image) => {
      const send = ({ address }: LabHost): Promise<void> =>
        succeed(laptop, ["bash", "-c", `docker save ${image} >/dev/tcp/${address}/${PIPE_PORT}`], {
          signal,
        });
      await Promise.all([...nodes.map(send), ...receivers]);
    },
  };
}

/** Distributes with `docker push` to a registry and `docker pull` on all nodes at once. */
export function registryDistributor({ laptop, nodes, registry, signal }: ImageLab): Distributor {
  return {
    name: "registry",
    distribute: async (image) => {
      const remote = `${registry}/${image}`;
      await succeed(laptop, ["docker", "tag", image, remote], { signal });
      await succeed(laptop, ["docker", "push", "--quiet", remote], { signal });
      await Promise.all(
        nodes.map((node) => succeed(node, ["docker", "pull", "--quiet", remote], { signal })),
      );
    },
  };
}

/** Removes an image and all its tags. */
export async function removeImage(host: LabHost, imageId: string): Promise<void> {
  await host.exec(["docker", "image", "rm", "--force", imageId], { timeoutMs: TRANSFER_TIMEOUT_MS });
}

async function waitUntilListening(node: LabHost, signal: AbortSignal): Promise<void> {
  const port = PIPE_PORT.toString(16).toUpperCase();
  // The state 0A is LISTEN.
  const pattern = `:${port} [0-9A-F]+:0000 0A`;
  const isListening = async (): Promise<boolean> =>
    (await node.exec(["grep", "-qsE", pattern, "/proc/net/tcp", "/proc/net/tcp6"])).code === 0;
  await waitUntil(isListening, {
    what: `the receiver on ${node.name} to listen`,
    timeoutMs: LISTEN_TIMEOUT_MS,
    signal,
  });
}

async function succeed(
  host: LabHost,
  argv: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<void> {
  const command = host.commandInside(argv);
  const { code, stdout, stderr }: RunResult = await run(command, {
    ...options,
    timeoutMs: TRANSFER_TIMEOUT_MS,
  });
  if (code !== 0) throw new Error(`${argv.join(" ")} on ${host.name}: exit ${code}\n${stdout}${stderr}`);
}
