import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createLab, type Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import type { CreateLabOptions } from "../../../deploy/lab/lab-options.js";
import { testLabName } from "../../../deploy/lab/lab-state.js";
import type { RunResult } from "../../../deploy/lab/run.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { joinAgentInProcess, runBerthInProcess } from "../../harness/in-process-cli.js";
import { listRunningSlots } from "./containers.js";

const HELLO = fileURLToPath(new URL("../../../deploy/images/hello", import.meta.url));
const NODES_READY_TIMEOUT_MS = 60_000;

/** berth promises to reach the desired state within 30 s after the last fault. */
export const CONVERGE_TIMEOUT_MS = 30_000;

/** Creates a lab with berth and the image `hello:1` on every host. Waits until all nodes are ready. */
export async function createCluster(
  hosts: number,
  options: Pick<CreateLabOptions, "servers" | "dockerConfig" | "berthPath"> = {},
): Promise<Lab> {
  const lab = await createLab({
    ...options,
    name: testLabName(),
    hosts,
    runBerth: runBerthInProcess,
    // The hosts join with the program that they run.
    joinAgent: options.berthPath === undefined ? joinAgentInProcess : undefined,
  });
  try {
    await lab.loadImage(HELLO, "hello:1");
    await waitUntil(async () => (await readyNodes(lab)).length === hosts, {
      what: `${hosts} ready nodes`,
      timeoutMs: NODES_READY_TIMEOUT_MS,
    });
    return lab;
  } catch (cause) {
    await lab.down();
    throw cause;
  }
}

interface ListedNode {
  readonly id: string;
  readonly hostname: string;
  readonly status: string;
  readonly engineReady: boolean;
}

/**
 * Returns the hostnames of the ready nodes whose agents are connected to Docker. Empty while the control plane does not
 * answer.
 */
export async function readyNodes(lab: Lab): Promise<readonly string[]> {
  const { code, stdout } = await lab.berth(["node", "ls", "-o", "json"]);
  if (code !== 0) return [];
  const nodes = JSON.parse(stdout) as readonly ListedNode[];
  return nodes
    .filter(({ status, engineReady }) => status.toLowerCase() === "ready" && engineReady)
    .map(({ hostname }) => hostname);
}

/** Waits until every host reports overlay support. Until then, tasks run there without their default network. */
export async function waitForNetworks(lab: Lab): Promise<void> {
  const names = lab.hosts.map(({ name }) => name);
  const supportsOverlay = async (): Promise<boolean> => {
    const { stdout } = await lab.berth(["node", "inspect", ...names]);
    const nodes = JSON.parse(stdout) as readonly {
      readonly dataPlane: { readonly overlay: boolean } | null;
    }[];
    return nodes.every(({ dataPlane }) => dataPlane?.overlay);
  };
  await waitUntil(supportsOverlay, { what: "overlay support on all hosts", timeoutMs: CONVERGE_TIMEOUT_MS });
}

/** Restarts dockerd with SIGTERM, as an upgrade of Docker does. Its containers end too. */
export async function restartDockerd(host: LabHost): Promise<void> {
  await host.killProcess("dockerd", "SIGTERM");
  await waitUntil(() => host.processes("dockerd").length === 0, {
    what: `dockerd on ${host.name} to exit`,
    timeoutMs: CONVERGE_TIMEOUT_MS,
  });
  await host.startDockerd();
}

/** Deploys a Compose file. Passes extra arguments to `berth stack deploy`. */
export async function deploy(
  lab: Lab,
  stack: string,
  compose: string,
  ...extra: string[]
): Promise<RunResult> {
  const directory = await mkdtemp(join(tmpdir(), "berth-e2e-"));
  try {
    const file = join(directory, "compose.yml");
    await writeFile(file, compose);
    return await lab.berth(["stack", "deploy", "-c", file, ...extra, stack], { timeoutMs: 120_000 });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Waits until Docker runs `replicas` slots of a service, each once. Slot numbers may have gaps: berth skips a slot
 * whose former task has not confirmed its stop.
 */
export async function waitForReplicas(lab: Lab, service: string, replicas: number): Promise<void> {
  let slots: readonly number[] = [];
  await waitUntil(
    async () => {
      slots = await listRunningSlots(lab, service);
      return slots.length === replicas && new Set(slots).size === replicas;
    },
    { what: `${replicas} running slots of ${service}`, timeoutMs: CONVERGE_TIMEOUT_MS },
  ).catch((cause: unknown) => {
    throw new Error(`expected ${replicas} running slots of ${service}, got ${slots.join(" ") || "none"}`, {
      cause,
    });
  });
}
