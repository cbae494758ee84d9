import { ControlServiceService, type Node, NodeState, type Task, TaskState } from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";

const POLL_MS = 50;
const CALL_TIMEOUT_MS = 2_000;

/** What the demonstration asks the control plane while it waits. */
export class Cluster {
  readonly #connection: RpcConnection<typeof ControlServiceService>;

  constructor(serverAddress: string) {
    this.#connection = createRpcClient(ControlServiceService, { address: serverAddress });
  }

  async nodes(): Promise<readonly Node[]> {
    const { nodes } = await this.#connection.calls.listNodes({}, { timeoutMs: CALL_TIMEOUT_MS });
    return nodes.flatMap(({ node }) => (node === undefined ? [] : [node]));
  }

  async node(hostname: string): Promise<Node | undefined> {
    return (await this.nodes()).find(({ description }) => description?.hostname === hostname);
  }

  async tasksOf({ stack = "", service = "" }): Promise<readonly Task[]> {
    const request = { service, stack, node: "" };
    const { tasks } = await this.#connection.calls.listTasks(request, { timeoutMs: CALL_TIMEOUT_MS });
    return tasks;
  }

  async runningTasks(service: string): Promise<readonly Task[]> {
    const tasks = await this.tasksOf({ service });
    return tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
  }

  close(): void {
    this.#connection.close();
  }
}

export function isReady(node: Node | undefined): boolean {
  return node?.state === NodeState.READY;
}

/**
 * Asks again and again until the answer is true. Failed questions count as no.
 *
 * @returns when it became true, by `performance.now()`; undefined if it did not before the deadline
 */
export async function until(
  question: () => Promise<boolean>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const deadlineMs = performance.now() + timeoutMs;
  while (performance.now() < deadlineMs) {
    signal.throwIfAborted();
    if (await question().catch(() => false)) return performance.now();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return undefined;
}
