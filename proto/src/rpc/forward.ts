import type { CallContext, RpcClient, RpcDefinition, RpcHandlers } from "./types.js";

/**
 * Handlers that pass each call on to another server, for a follower. `resolveTarget` gives a client for the leader, or
 * throws what the caller is to be told when there is none.
 */
export function forwardService<D extends RpcDefinition>(
  definition: D,
  resolveTarget: (context: CallContext) => Promise<RpcClient<D>>,
): RpcHandlers<D> {
  const entries = Object.entries(definition).map(([name, method]) => {
    const call = async (input: never, context: CallContext): Promise<unknown> => {
      const target = await resolveTarget(context);
      const passOn = target[name as keyof D] as unknown as (input: never, options: object) => unknown;
      return passOn(input, { signal: context.signal });
    };
    return [name, method.responseStream ? streaming(call) : call] as const;
  });
  return Object.fromEntries(entries) as unknown as RpcHandlers<D>;
}

function streaming(
  call: (input: never, context: CallContext) => Promise<unknown>,
): (input: never, context: CallContext) => AsyncGenerator<unknown> {
  return async function* (input, context) {
    yield* (await call(input, context)) as AsyncIterable<unknown>;
  };
}
