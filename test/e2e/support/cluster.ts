import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CreateLabOptions, createLab, type Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { testLabName } from "../../../deploy/lab/lab-state.js";
import type { RunResult } from "../../../deploy/lab/run.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { listRunningSlots } from "./containers.js";

const HELLO = fileURLToPath(new URL("../../../deploy/images/hello", import.meta.url));
const NODES_READY_TIMEOUT_MS = 60_000;

/** Faults have stopped: by then the desired state must be reached again. */
export const CONVERGE_TIMEOUT_MS = 30_000;

/** A lab with berth, the image `hello:1` on every host, and every node ready. */
export async function createCluster(
  hosts: number,
  options: Pick<CreateLabOptions, "servers"> = {},
): Promise<Lab> {
  const lab = await createLab({ ...options, name: testLabName(), hosts });
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
}

/** Host names of the nodes that the control plane calls ready; none while it cannot be asked. */
export async function readyNodes(lab: Lab): Promise<readonly string[]> {
  const { code, stdout } = await lab.berth(["node", "ls", "-o", "json"]);
  if (code !== 0) return [];
  const nodes = JSON.parse(stdout) as readonly ListedNode[];
  return nodes.filter(({ status }) => status.toLowerCase() === "ready").map(({ hostname }) => hostname);
}

/** Waits until every host has said that it can have networks: without, tasks run there outside their default network. */
export async function waitForNetworks(lab: Lab): Promise<void> {
  const names = lab.hosts.map(({ name }) => name);
  const capable = async (): Promise<boolean> => {
    const { stdout } = await lab.berth(["node", "inspect", ...names]);
    const nodes = JSON.parse(stdout) as readonly {
      readonly dataPlane: { readonly overlay: boolean } | null;
    }[];
    return nodes.every(({ dataPlane }) => dataPlane?.overlay);
  };
  await waitUntil(capable, { what: "hosts that can have networks", timeoutMs: CONVERGE_TIMEOUT_MS });
}

/** As an upgrade of Docker does: it ends by itself, with all of its containers, and starts again. */
export async function restartDockerd(host: LabHost): Promise<void> {
  await host.killProcess("dockerd", "SIGTERM");
  await waitUntil(() => host.processes("dockerd").length === 0, {
    what: `dockerd of ${host.name} to end`,
    timeoutMs: CONVERGE_TIMEOUT_MS,
  });
  await host.startDockerd();
}

/** Writes a Compose file and deploys it; extra arguments go to `berth stack deploy`. */
export async function deploy(
  lab: Lab,
  stack: string,
  compose: string,
  ...extra: string[]
): Promise<RunResult> {
  const folder = await mkdtemp(join(tmpdir(), "berth-e2e-"));
  try {
    const file = join(folder, "compose.yml");
    await writeFile(file, compose);
    return await lab.berth(["stack", "deploy", "-c", file, ...extra, stack], { timeoutMs: 120_000 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Waits until `replicas` slots run, each once, on Docker's word. Which numbers they have is nobody's promise: a slot
 * whose former task has not confirmed its stop is passed over.
 */
export async function waitForReplicas(lab: Lab, service: string, replicas: number): Promise<void> {
  let slots: readonly number[] = [];
  await waitUntil(
    async () => {
      slots = await listRunningSlots(lab, service);
      return slots.length === replicas && new Set(slots).size === replicas;
    },
    { what: `${replicas} slots of ${service}`, timeoutMs: CONVERGE_TIMEOUT_MS },
  ).catch((cause: unknown) => {
    throw new Error(`${service} should run ${replicas} slots, and runs ${slots.join(" ") || "none"}`, {
      cause,
    });
  });
}
