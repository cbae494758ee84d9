import type { ServiceSummary } from "../../gen/berth/v1/control.js";
import { redactEnvironment } from "../policy/redact-environment.js";
import type { RpcClient } from "../rpc/types.js";
import type { Control } from "./api-methods.js";

/**
 * Returns calls whose responses have no values of environment variables and no contents of configs, as for viewers. A
 * read-only session is for screens that others see, whatever the role of its user is.
 */
export function readOnlyCalls(calls: RpcClient<Control>): RpcClient<Control> {
  return {
    ...calls,
    listServices: async (request, options) => {
      const { services } = await calls.listServices(request, options);
      return { services: services.map(redactSummary) };
    },
    getService: async (request, options) => {
      const response = await calls.getService(request, options);
      return { ...response, service: response.service && redactSummary(response.service) };
    },
    getFile: async (request, options) => {
      const response = await calls.getFile(request, options);
      return { ...response, content: Buffer.alloc(0) };
    },
    watchServices: async function* (request, options) {
      for await (const { services } of calls.watchServices(request, options)) {
        yield {
          services: services.map((watched) => ({
            ...watched,
            summary: watched.summary && redactSummary(watched.summary),
          })),
        };
      }
    },
  };
}

function redactSummary(summary: ServiceSummary): ServiceSummary {
  return { ...summary, service: summary.service && redactEnvironment(summary.service) };
}
