import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeState, TaskState } from "@berth/proto";
import { RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";
import type { Lab } from "../../deploy/lab/lab.js";
import { waitUntil } from "../../deploy/lab/wait-until.js";
import { loadContextIdentity } from "../../packages/cli/src/client/context-identity.js";
import { configPath, identityOf, readContexts } from "../../packages/cli/src/client/contexts.js";
import { createFailoverClient, type FailoverClient } from "../../packages/cli/src/client/failover-client.js";

const READY_TIMEOUT_MS = 60_000;

/** Returns the label that marks the containers of a stack. */
export const berthLabel = (stack: string): string => `berth.stack=${stack}`;

export interface BenchService {
  readonly image: string;
  readonly replicas: number;
  /** Compose's `update_config.order`. Undefined for berth's default. */
  readonly updateOrder?: "start-first" | "stop-first" | undefined;
  /** Compose's `PUBLISHED:TARGET`. */
  readonly ports?: readonly string[];
  readonly hostname?: string;
  /** Names of existing secrets, mapped to their paths in the containers. */
  readonly secrets?: Readonly<Record<string, string>>;
}

/** Deploys stacks on a lab with the CLI, as a user does, and observes them through the API. */
export class BerthStacks {
  readonly #lab: Lab;
  readonly #control: FailoverClient;

  private constructor(lab: Lab, control: FailoverClient) {
    this.#lab = lab;
    this.#control = control;
  }

  /** Connects to all servers of the lab, as its administrator. */
  static async connect(lab: Lab): Promise<BerthStacks> {
    const location = { env: { BERTH_CONFIG: lab.configDir }, homeDirectory: "" };
    const identity = identityOf(await readContexts(configPath(location)), location);
    if (identity === undefined) throw new Error("the lab has no administrator");
    const { files } = await loadContextIdentity(identity);
    const rpc = new RotatingIdentity(tlsMaterialOf(files));
    const serverAt = (address: string) => ({ address, identity: rpc });
    const [first = "", ...others] = lab.serverAddresses;
    return new BerthStacks(lab, createFailoverClient([serverAt(first), ...others.map(serverAt)]));
  }

  /** Runs `berth stack deploy --detach`. Resolves once the control plane has accepted the stack. */
  async deploy(
    stack: string,
    services: Readonly<Record<string, BenchService>>,
    signal: AbortSignal,
  ): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "berth-bench-"));
    try {
      const file = join(directory, "compose.yml");
      await writeFile(file, composeOf(services));
      await this.#berth(["stack", "deploy", "--detach", "-c", file, stack], signal);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async remove(stack: string, signal: AbortSignal): Promise<void> {
    await this.#berth(["stack", "rm", stack], signal);
  }

  /** Returns whether the stack has services. */
  async exists(stack: string, signal: AbortSignal): Promise<boolean> {
    const { services } = await this.#control.calls.listServices({ stack }, { signal });
    return services.length > 0;
  }

  /** Returns how many tasks the control plane reports as running. */
  async runningTasks(stack: string, signal: AbortSignal): Promise<number> {
    const { services } = await this.#control.calls.listServices({ stack }, { signal });
    return services.reduce((sum, service) => sum + service.running, 0);
  }

  /** Returns a description of each task failure that placement counts against the task's node. */
  async describeNodeFailures(stack: string, signal: AbortSignal): Promise<readonly string[]> {
    const { tasks } = await this.#control.calls.listTasks({ stack, service: "", node: "" }, { signal });
    return tasks.flatMap(({ id, nodeId, status }) => {
      const { state = TaskState.UNSPECIFIED, stoppedExternally, message } = status ?? {};
      const isFailure = state === TaskState.FAILED || state === TaskState.REJECTED;
      return isFailure && stoppedExternally !== true ? [`task ${id} on ${nodeId}: ${message}`] : [];
    });
  }

  /** Waits until every host of the lab is a ready node. */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    const ready = async (): Promise<boolean> => {
      const { nodes } = await this.#control.calls.listNodes({}, { signal });
      const up = nodes.filter(({ node }) => node?.state === NodeState.READY);
      return up.length === this.#lab.hosts.length;
    };
    await waitUntil(ready, { what: "all agents to be connected", timeoutMs: READY_TIMEOUT_MS, signal });
  }

  close(): void {
    this.#control.close();
  }

  async #berth(args: readonly string[], signal: AbortSignal): Promise<void> {
    const { code, stdout, stderr } = await this.#lab.berth(args, { signal });
    if (code !== 0) throw new Error(`berth ${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  }
}

/** Returns a Compose file in JSON, which is a subset of YAML. */
function composeOf(services: Readonly<Record<string, BenchService>>): string {
  const names = Object.values(services).flatMap(({ secrets = {} }) => Object.keys(secrets));
  const entries = Object.entries(services).map(
    ([name, { replicas, updateOrder: order, secrets = {}, ...others }]) => [
      name,
      {
        ...others,
        deploy: { replicas, update_config: { order } },
        secrets: Object.entries(secrets).map(([source, target]) => ({ source, target })),
      },
    ],
  );
  const compose = {
    services: Object.fromEntries(entries),
    secrets: Object.fromEntries(names.map((name) => [name, { external: true }])),
  };
  return JSON.stringify(compose, null, 2);
}
