import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import type { LabServer } from "../../deploy/lab/lab-server.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import type { Release } from "./build-release.js";

const STOP_TIMEOUT_MS = 30_000;
const READY_TIMEOUT_MS = 60_000;

/** A program in a lab to replace: the server or the agent on a host. */
export interface UpgradeStep {
  readonly program: "server" | "agent";
  /** Name of the host. */
  readonly host: string;
}

interface ListedNode {
  readonly hostname: string;
  readonly status: string;
  readonly agentVersion: string;
}

/** Replaces programs in a lab with those of a release, one after another. Waits until each works before the next. */
export async function upgradeAll(lab: Lab, steps: readonly UpgradeStep[], release: Release): Promise<void> {
  for (const { program, host } of steps) {
    if (program === "agent") await upgradeAgent(lab, lab.host(host), release);
    else await upgradeServer(serverOn(lab, host), release);
  }
}

/** Stops a server like a service manager, and starts it with another release. */
export async function upgradeServer(server: LabServer, { program }: Release): Promise<void> {
  await server.kill("server", "SIGTERM");
  const isStopped = (): boolean => [server.processes("server"), server.processes("etcd")].flat().length === 0;
  await waitUntil(isStopped, { what: `the server on ${server.name} to stop`, timeoutMs: STOP_TIMEOUT_MS });
  server.berthPath = program;
  await server.startWithoutWaiting();
  await server.waitUntilHealthy();
}

/** Stops an agent like a service manager, and starts it with another release. Waits until it has connected. */
export async function upgradeAgent(lab: Lab, host: LabHost, { program, release }: Release): Promise<void> {
  await host.killProcess("agent", "SIGTERM");
  const isStopped = (): boolean => host.processes("agent").length === 0;
  await waitUntil(isStopped, { what: `the agent on ${host.name} to stop`, timeoutMs: STOP_TIMEOUT_MS });
  host.berthPath = program;
  await host.startAgent();
  await waitUntil(
    async () => {
      const node = (await listNodes(lab)).find(({ hostname }) => hostname === host.name);
      return node?.agentVersion === release && node.status.toLowerCase() === "ready";
    },
    { what: `the agent on ${host.name} to connect with release ${release}`, timeoutMs: READY_TIMEOUT_MS },
  );
}

/**
 * Returns the server on a host.
 *
 * @throws Error if the host runs no server
 */
export function serverOn(lab: Lab, host: string): LabServer {
  const server = lab.servers.find(({ name }) => name === host);
  if (server === undefined) throw new Error(`${host} runs no server`);
  return server;
}

/** Returns the nodes, or an empty list while the control plane does not respond. */
async function listNodes(lab: Lab): Promise<readonly ListedNode[]> {
  const { code, stdout } = await lab.berth(["node", "ls", "-o", "json"]);
  return code === 0 ? (JSON.parse(stdout) as readonly ListedNode[]) : [];
}
