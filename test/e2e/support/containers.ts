import { request } from "node:http";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";

const CALL_TIMEOUT_MS = 10_000;

/** A container as Docker reports it. Tests check promises on this, not on the control plane's view. */
export interface Container {
  readonly host: string;
  readonly id: string;
  readonly name: string;
  readonly taskId: string | undefined;
  readonly service: string | undefined;
  readonly slot: string | undefined;
  readonly running: boolean;
}

interface ListedContainer {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** Returns all containers of all hosts that are up. */
export async function listContainers(lab: Lab): Promise<readonly Container[]> {
  const perHost = await Promise.all(lab.hosts.filter((host) => host.isUp).map(containersOf));
  return perHost.flat();
}

/** Returns the running containers of one service, by its full name. */
export async function listRunning(lab: Lab, service: string): Promise<readonly Container[]> {
  return (await listContainers(lab)).filter(
    (container) => container.running && container.service === service,
  );
}

/** Returns the slots of a service with a running container, sorted. A slot with two containers occurs twice. */
export async function listRunningSlots(lab: Lab, service: string): Promise<readonly number[]> {
  return (await listRunning(lab, service)).map(({ slot }) => Number(slot)).sort((a, b) => a - b);
}

async function containersOf(host: LabHost): Promise<readonly Container[]> {
  const listed = (await dockerGet(host, "/containers/json?all=1")) as readonly ListedContainer[];
  return listed.map(({ Id, Names, State, Labels }) => ({
    host: host.name,
    id: Id,
    name: (Names[0] ?? "").slice(1),
    taskId: Labels["berth.task.id"],
    service: Labels["berth.service.name"],
    slot: Labels["berth.slot"],
    running: State === "running",
  }));
}

/** Returns the time of a container's last start, by Docker's clock. */
export async function readStartedAt(lab: Lab, container: Pick<Container, "host" | "id">): Promise<string> {
  const inspected = (await dockerGet(lab.host(container.host), `/containers/${container.id}/json`)) as {
    readonly State: { readonly StartedAt: string };
  };
  return inspected.State.StartedAt;
}

/** Returns when a container started and ended, by Docker's clock, or undefined if it is removed or has not ended. */
export async function readLifetime(
  lab: Lab,
  container: Pick<Container, "host" | "id">,
): Promise<{ readonly beginMs: number; readonly endMs: number } | undefined> {
  const path = `/containers/${container.id}/json`;
  const inspected = (await dockerGet(lab.host(container.host), path).catch(() => undefined)) as
    | { readonly State: { readonly StartedAt: string; readonly FinishedAt: string } }
    | undefined;
  const beginMs = Date.parse(inspected?.State.StartedAt ?? "");
  const endMs = Date.parse(inspected?.State.FinishedAt ?? "");
  // FinishedAt is in the year 1 while the container runs. StartedAt may be later than FinishedAt, because Docker records
  // it only after the start has returned.
  return endMs > 0 ? { beginMs: Math.min(beginMs, endMs), endMs } : undefined;
}

function dockerGet(host: LabHost, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const req = request(
      { socketPath: host.dockerSocket, path, timeout: CALL_TIMEOUT_MS, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const body = Buffer.concat(chunks).toString("utf8");
          if (response.statusCode !== 200)
            reject(new Error(`docker on ${host.name}: ${response.statusCode} ${body}`));
          else resolve(JSON.parse(body));
        });
      },
    );
    req.on("timeout", () => req.destroy(new Error(`docker on ${host.name}: timeout of ${path}`)));
    req.on("error", reject);
    req.end();
  });
}
