import type { Lab } from "../../../deploy/lab/lab.js";
import type { LabHost } from "../../../deploy/lab/lab-host.js";
import { run } from "../../../deploy/lab/run.js";

/** A task in the output of `berth service ps`. */
export interface ListedTask {
  readonly node: string;
  readonly slot: number;
  readonly state: string;
  readonly health: string;
  readonly message: string;
  /** Empty for a reason without a code. */
  readonly errorCode: string;
  readonly exitCode: number | null;
  /** Empty if the task has no container. */
  readonly containerId: string;
  /** Number of consecutive restarts before this task. */
  readonly restarts: number;
}

/** Returns all tasks of a service, including ended ones. */
export async function listTasks(lab: Lab, service: string): Promise<readonly ListedTask[]> {
  const { code, stdout, stderr } = await lab.berth(["service", "ps", "-o", "json", service]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as readonly ListedTask[];
}

/** Returns the problems of a host from `berth node inspect`. */
export async function listProblems(lab: Lab, node: string): Promise<readonly string[]> {
  const { code, stdout, stderr } = await lab.berth(["node", "inspect", node]);
  if (code !== 0) throw new Error(stderr);
  const [shown] = JSON.parse(stdout) as readonly { readonly problems: readonly string[] }[];
  return shown?.problems ?? [];
}

/** Runs the Docker CLI against one host, without berth. Throws when it fails. */
export async function docker(host: LabHost, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(["docker", "-H", `unix://${host.dockerSocket}`, ...args]);
  if (code !== 0) throw new Error(`docker ${args.join(" ")} on ${host.name}: ${stderr}`);
  return stdout.trim();
}
