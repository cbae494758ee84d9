import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BerthError,
  ControlServiceService,
  NodeSummary,
  ServiceSummary,
  Task,
  type WatchServicesResponse,
} from "@berth/proto";
import { type RpcHandlers, type RpcListener, rpcService, startRpcServer } from "@berth/proto/rpc";

type Handlers = RpcHandlers<typeof ControlServiceService>;

export type FakeControlHandlers = Partial<Handlers>;

export interface FakeControl {
  readonly address: string;
  readonly close: () => Promise<void>;
}

/** Starts a real gRPC server with these handlers, on a new Unix socket by default. All other calls fail. */
export async function startFakeControl(
  handlers: FakeControlHandlers,
  listener?: RpcListener,
): Promise<FakeControl> {
  if (listener === undefined) return startOnNewSocket(handlers);
  const rejectCall = (): never => {
    throw new BerthError({ code: "BERTH_UNSUPPORTED", message: "the test has no handler for this call" });
  };
  const defaults = Object.fromEntries(Object.keys(ControlServiceService).map((name) => [name, rejectCall]));
  const services = [rpcService(ControlServiceService, { ...defaults, ...handlers } as Handlers)];
  const server = await startRpcServer({ listener, services });
  return { address: server.address, close: () => server.close(0) };
}

async function startOnNewSocket(handlers: FakeControlHandlers): Promise<FakeControl> {
  const directory = await mkdtemp(join(tmpdir(), "berth-control-"));
  const { address, close } = await startFakeControl(handlers, {
    kind: "unix",
    path: join(directory, "server.sock"),
  });
  const closeAndRemove = async (): Promise<void> => {
    await close();
    await rm(directory, { recursive: true, force: true });
  };
  return { address, close: closeAndRemove };
}

/** Returns a handler that sends these messages and keeps the stream open until the client cancels it. */
export function watching(...messages: readonly WatchServicesResponse[]): Handlers["watchServices"] {
  return async function* (_request, { signal }) {
    yield* messages;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  };
}

/** Returns a service `shop_web` with two replicas of nginx on port 8080. */
export function webService(change: Parameters<typeof ServiceSummary.fromPartial>[0] = {}): ServiceSummary {
  return ServiceSummary.fromPartial({
    service: {
      id: "svcwebxxxxxxxxxxxx",
      version: 1,
      templateVersion: 1,
      spec: {
        name: "shop_web",
        stack: "shop",
        labels: { team: "a" },
        task: { container: { image: "nginx:1.27" } },
        mode: { $case: "replicated", value: { replicas: 2 } },
        ports: [{ target: 80, published: 8080, protocol: 1, mode: 1 }],
      },
    },
    desired: 2,
    running: 2,
    converged: true,
    ...change,
  });
}

/** Returns the running task of the first slot of `shop_web`. */
export function webTask(change: Parameters<typeof Task.fromPartial>[0] = {}): Task {
  return Task.fromPartial({
    id: "taskonexxxxxxxxx",
    serviceId: "svcwebxxxxxxxxxxxx",
    serviceName: "shop_web",
    stack: "shop",
    slot: 1,
    nodeId: "node1",
    specVersion: 1,
    desiredState: 1,
    status: { state: 5, sinceMs: Date.now() - 65_000 },
    ...change,
  });
}

/** Returns a ready node `host-1` in zone a with two tasks. */
export function readyNode(change: Parameters<typeof NodeSummary.fromPartial>[0] = {}): NodeSummary {
  return NodeSummary.fromPartial({
    node: {
      id: "node1",
      availability: 1,
      state: 1,
      labels: { zone: "a" },
      description: { hostname: "host-1", address: "10.0.0.1", engineVersion: "20.10.24", engineReady: true },
    },
    tasks: 2,
    ...change,
  });
}

/** Handles a deployment that creates the service of `webService`. */
export const createWebService: NonNullable<FakeControlHandlers["deployStack"]> = async () => ({
  services: [{ serviceId: "svcwebxxxxxxxxxxxx", name: "shop_web", kind: 1, version: 1 }],
  networks: [],
  files: [],
  warnings: [],
});

/** Returns an update of a watch, with the service of `webService` and its tasks. */
export function watchedWebService(summary: Parameters<typeof webService>[0], tasks = [webTask()]) {
  return {
    services: [{ serviceId: "svcwebxxxxxxxxxxxx", removed: false, summary: webService(summary), tasks }],
  };
}
