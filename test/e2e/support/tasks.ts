import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { run } from "../../../deploy/lab/run.js";

/** A task as `berth service ps` tells it. */
export interface ListedTask {
  readonly node: string;
  readonly slot: number;
  readonly state: string;
  readonly health: string;
  readonly message: string;
  readonly exitCode: number | null;
  /** Empty: it has none. */
  readonly containerId: string;
  /** How many restarts in a row led to it. */
  readonly restarts: number;
}

/** All tasks of a service that berth remembers, ended ones too. */
export async function listTasks(lab: Lab, service: string): Promise<readonly ListedTask[]> {
  const { code, stdout, stderr } = await lab.berth(["service", "ps", "-o", "json", service]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as readonly ListedTask[];
}

/** What is wrong with a host, as `berth node inspect` tells it. */
export async function listProblems(lab: Lab, node: string): Promise<readonly string[]> {
  const { code, stdout, stderr } = await lab.berth(["node", "inspect", node]);
  if (code !== 0) throw new Error(stderr);
  const [shown] = JSON.parse(stdout) as readonly { readonly problems: readonly string[] }[];
  return shown?.problems ?? [];
}

/** Runs `docker` against one host, behind berth's back. @throws when it fails */
export async function docker(host: LabHost, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(["docker", "-H", `unix://${host.dockerSocket}`, ...args]);
  if (code !== 0) throw new Error(`docker ${args.join(" ")} on ${host.name}: ${stderr}`);
  return stdout.trim();
}
