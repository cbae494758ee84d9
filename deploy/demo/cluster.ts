import { ControlServiceService, type Node, NodeState, type Task, TaskState } from "@berth/proto";
import { createRpcClient, type RpcConnection } from "@berth/proto/rpc";
import { LabError } from "../lab/lab-error.js";
import { scaleTimeout, waitUntil } from "../lab/wait-until.js";

/** Timeout of a call to the control plane. */
const CALL_TIMEOUT_MS = 2_000;

/** Reads nodes and tasks from the lab's control plane. */
export class ClusterReader {
  readonly #connection: RpcConnection<typeof ControlServiceService>;

  /** @param socket path of a server's unix socket */
  constructor(socket: string) {
    this.#connection = createRpcClient(ControlServiceService, { socket });
  }

  async listNodes(): Promise<readonly Node[]> {
    const { nodes } = await this.#connection.calls.listNodes(
      {},
      { timeoutMs: scaleTimeout(CALL_TIMEOUT_MS) },
    );
    return nodes.flatMap(({ node }) => (node === undefined ? [] : [node]));
  }

  async findNode(hostname: string): Promise<Node | undefined> {
    return (await this.listNodes()).find(({ description }) => description?.hostname === hostname);
  }

  async listTasks({ stack = "", service = "" }): Promise<readonly Task[]> {
    const request = { service, stack, node: "" };
    const { tasks } = await this.#connection.calls.listTasks(request, {
      timeoutMs: scaleTimeout(CALL_TIMEOUT_MS),
    });
    return tasks;
  }

  async listRunningTasks(service: string): Promise<readonly Task[]> {
    const tasks = await this.listTasks({ service });
    return tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
  }

  close(): void {
    this.#connection.close();
  }
}

export function isReady(node: Node | undefined): boolean {
  return node?.state === NodeState.READY;
}

/** Polls until a condition is true. Returns when it was true, by `performance.now()`, or undefined on a timeout. */
export async function pollUntilTrue(
  condition: () => Promise<boolean>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const probe = async (): Promise<number | false> => (await condition()) && performance.now();
  const isTimeout = (error: unknown): boolean => error instanceof LabError && error.code === "LAB_NOT_READY";
  return waitUntil(probe, { what: "the cluster", timeoutMs, signal, retryErrors: true }).catch((error) => {
    if (isTimeout(error)) return undefined;
    throw error;
  });
}
