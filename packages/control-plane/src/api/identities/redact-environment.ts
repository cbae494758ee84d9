import { type ControlServiceService, redactEnvironment, type ServiceSummary } from "@berth/proto";
import type { CallContext, RpcHandlers } from "@berth/proto/rpc";
import type { ClusterState } from "../../state/cluster-state.js";
import { maySeeEnvironment } from "./stack-access.js";

type Handlers = RpcHandlers<typeof ControlServiceService>;

/**
 * Returns handlers that redact the values of environment variables and the contents of configs, except in responses to
 * callers who may change the service or config.
 */
export function redactEnvironments(handlers: Handlers, state: Pick<ClusterState, "users">): Handlers {
  const redact = (summary: ServiceSummary, { caller }: CallContext): ServiceSummary => {
    const { service } = summary;
    if (service === undefined || maySeeEnvironment(caller, service.spec?.stack ?? "", state)) return summary;
    return { ...summary, service: redactEnvironment(service) };
  };
  return {
    ...handlers,
    listServices: async (request, context) => {
      const { services } = await handlers.listServices(request, context);
      return { services: services.map((summary) => redact(summary, context)) };
    },
    getService: async (request, context) => {
      const response = await handlers.getService(request, context);
      return { ...response, service: response.service && redact(response.service, context) };
    },
    getFile: async (request, context) => {
      const response = await handlers.getFile(request, context);
      const [newest] = response.versions;
      if (maySeeEnvironment(context.caller, newest?.stack ?? "", state)) return response;
      return { ...response, content: Buffer.alloc(0) };
    },
    watchServices: async function* (request, context) {
      for await (const { services } of handlers.watchServices(request, context)) {
        yield {
          services: services.map((watched) => ({
            ...watched,
            summary: watched.summary && redact(watched.summary, context),
          })),
        };
      }
    },
  };
}
