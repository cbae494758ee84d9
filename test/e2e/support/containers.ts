import { request } from "node:http";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";

const CALL_TIMEOUT_MS = 10_000;

/** A container as Docker itself tells it: promises are checked on this, not on what the control plane believes. */
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

/** All containers of all hosts that are up. */
export async function listContainers(lab: Lab): Promise<readonly Container[]> {
  const perHost = await Promise.all(lab.hosts.filter((host) => host.isUp).map(containersOf));
  return perHost.flat();
}

/** Running containers of one service, by its full name. */
export async function listRunning(lab: Lab, service: string): Promise<readonly Container[]> {
  return (await listContainers(lab)).filter(
    (container) => container.running && container.service === service,
  );
}

/** The slots of a service that have a running container, sorted; a slot that has two is there twice. */
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

/** When a container's process was started, by Docker's clock: changes with every restart. */
export async function readStartedAt(lab: Lab, container: Pick<Container, "host" | "id">): Promise<string> {
  const inspected = (await dockerGet(lab.host(container.host), `/containers/${container.id}/json`)) as {
    readonly State: { readonly StartedAt: string };
  };
  return inspected.State.StartedAt;
}

/** When a container began and ended, by Docker's clock; undefined: it is gone, or has not ended. */
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
  // One that has not ended yet has a date in the year 1. One that ended at once may have begun "after" that: Docker
  // notes the begin when the start has been answered.
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
    req.on("timeout", () => req.destroy(new Error(`docker on ${host.name} did not answer ${path}`)));
    req.on("error", reject);
    req.end();
  });
}
