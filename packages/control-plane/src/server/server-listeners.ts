import { type ControlServiceService, DispatcherServiceService, PeerServiceService } from "@berth/proto";
import { type RpcHandlers, type RpcServer, rpcService, startRpcServer } from "@berth/proto/rpc";
import { checkHealth } from "../http/health.js";
import type { HttpServerOptions } from "../http/http-server.js";
import type { Metrics } from "../http/metrics.js";
import { InstallServer } from "../install/install-server.js";
import { accessRules } from "./access-rules.js";
import { FORWARDED_CONTROL, routeControlService } from "./control-router.js";
import { routeDispatcherService } from "./dispatcher-router.js";
import type { LeaderContact } from "./leader-contact.js";
import type { LeadershipState } from "./leadership-state.js";
import { requireNotRemoved } from "./own-removal.js";
import { peerHandlers } from "./peer-service.js";
import { RefusalReporter } from "./refusal-reporter.js";
import type { ServerOptions } from "./server-options.js";

/** Grace period for in-flight responses when the server stops. */
const CLOSE_GRACE_MS = 500;

export interface ListenerDependencies {
  readonly leadership: LeadershipState;
  readonly contact: LeaderContact | undefined;
  readonly metrics: Metrics;
}

/** The gRPC and HTTP listeners of a server, without the web UI. */
export interface ServerListeners {
  /** Address of the gRPC listener. */
  readonly address: string;
  readonly httpAddress: string;
  /** The Control service of this server. */
  readonly control: RpcHandlers<typeof ControlServiceService>;
  /** Closes all listeners, after a grace period for responses in flight. */
  close(): Promise<void>;
}

/** Starts all listeners, or none. Calls wait until a leader is known. */
export async function startListeners(
  options: ServerOptions,
  { leadership, contact, metrics }: ListenerDependencies,
  signal: AbortSignal,
): Promise<ServerListeners> {
  const { listen, http, socket, runtime, logger, platform, installer } = options;
  const { transport } = platform;
  const router = routeControlService({ leadership, clock: runtime.clock, transport });
  const control = rpcService(FORWARDED_CONTROL, router.handlers);
  const refusals = new RefusalReporter({ leadership, clock: runtime.clock, transport, logger, signal });
  const access = accessRules(leadership, refusals);
  const onInternalError = (path: string, error: unknown): void =>
    logger.error({ err: error, path }, "call failed unexpectedly");
  const opened: RpcServer[] = [];
  const close = async (graceMs: number): Promise<void> => {
    try {
      await Promise.all(opened.map((listener) => listener.close(graceMs)));
    } finally {
      router.close();
    }
  };
  try {
    const rpc = await transport.serve({
      address: listen,
      access,
      services: [
        control,
        rpcService(DispatcherServiceService, routeDispatcherService(leadership)),
        peerService(options, leadership, contact),
      ],
      ...(installer && { http: new InstallServer(installer, logger) }),
      onInternalError,
    });
    opened.push(rpc);
    if (socket !== undefined) {
      const listener = { kind: "unix", path: socket } as const;
      opened.push(await startRpcServer({ listener, services: [control], onInternalError }));
    }
    const routes = createHttpRoutes(options, leadership, metrics);
    const httpListener = await platform.startHttp({ listen: http, routes, revocations: access.revocations });
    return {
      address: rpc.address,
      httpAddress: httpListener.address,
      control: router.handlers,
      close: async () => {
        try {
          await close(CLOSE_GRACE_MS);
        } finally {
          httpListener.close();
        }
      },
    };
  } catch (error) {
    await close(0).catch((closeError: unknown) =>
      logger.warn({ err: closeError }, "cannot close the listeners of a server that failed to start"),
    );
    throw error;
  }
}

/** Returns the Peer service, which other servers call. */
function peerService(
  { identity, store, logger }: ServerOptions,
  leadership: LeadershipState,
  contact: LeaderContact | undefined,
) {
  const handlers = peerHandlers({
    isInContact: (epoch) => contact?.isInContact(epoch) === true,
    clusterKey: identity?.clusterKey,
    requireNotRemoved: (serverId, signal) => requireNotRemoved(store, serverId, signal),
    audit: () => leadership.leader?.audit,
    logger,
  });
  return rpcService(PeerServiceService, handlers);
}

function createHttpRoutes(
  { store, problems }: Pick<ServerOptions, "store" | "problems">,
  leadership: LeadershipState,
  metrics: Metrics,
): HttpServerOptions["routes"] {
  return {
    "/healthz": { isPublic: true, answer: () => checkHealth(store, leadership, problems?.()) },
    "/metrics": {
      isPublic: false,
      answer: async () => ({
        status: 200,
        contentType: "text/plain; version=0.0.4",
        body: await metrics.render(),
      }),
    },
  };
}
