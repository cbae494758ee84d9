import type { CallContext, RpcClient, RpcDefinition, RpcHandlers } from "./types.js";

/**
 * Returns handlers that forward each call to another server. Servers use them for calls that only the leader answers.
 *
 * `resolveTarget` returns a client of that server, or throws the error for the caller.
 */
export function forwardService<D extends RpcDefinition>(
  definition: D,
  resolveTarget: (context: CallContext) => Promise<RpcClient<D>>,
): RpcHandlers<D> {
  const entries = Object.entries(definition).map(([name, method]) => {
    const call = async (input: never, context: CallContext): Promise<unknown> => {
      const target = await resolveTarget(context);
      const forward = target[name as keyof D] as unknown as (input: never, options: object) => unknown;
      return forward(input, { signal: context.signal, forwardedFor: context });
    };
    return [name, method.responseStream ? streaming(call) : call] as const;
  });
  return Object.fromEntries(entries) as unknown as RpcHandlers<D>;
}

/** Converts a function that resolves to a stream into one that returns the stream. */
function streaming(
  call: (input: never, context: CallContext) => Promise<unknown>,
): (input: never, context: CallContext) => AsyncGenerator<unknown> {
  return async function* (input, context) {
    yield* (await call(input, context)) as AsyncIterable<unknown>;
  };
}
