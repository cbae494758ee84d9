import { ControlServiceService } from "@berth/proto";
import type { CallContext, RpcClient, RpcHandlers } from "@berth/proto/rpc";
import type { WebBackend, WebCaller } from "@berth/proto/web";

type Control = typeof ControlServiceService;
type Handler = (input: never, context: CallContext) => unknown;
type Call = (input: never, options?: { readonly signal?: AbortSignal }) => unknown;

/** Signal that never aborts. */
const NO_SIGNAL = new AbortController().signal;

export interface WebBackendOptions {
  /** The Control service of this server, which forwards calls to the leader. */
  readonly handlers: RpcHandlers<Control>;
  /** ID of this server. */
  readonly serverId: string;
}

/** Returns the backend of a server's web UI. Calls are made in the name of the user who has logged in. */
export function webBackend({ handlers, serverId }: WebBackendOptions): WebBackend {
  return {
    redeem: async (code, client, signal) => {
      const server = { kind: "server", id: serverId } as const;
      const context: CallContext = { signal, peer: client, client, caller: server, forwarded: false };
      const { certificateName, readOnly } = await handlers.redeemLogin({ code, client }, context);
      return { userName: certificateName, isReadOnly: readOnly };
    },
    callsOf: (caller) => callsOf(handlers, caller),
  };
}

function callsOf(handlers: RpcHandlers<Control>, { userName, client }: WebCaller): RpcClient<Control> {
  const caller = { kind: "user", name: userName } as const;
  const entries = Object.keys(ControlServiceService).map((key) => {
    const handler = handlers[key as keyof Control] as Handler;
    const call: Call = (input, { signal = NO_SIGNAL } = {}) =>
      handler(input, { signal, peer: client, client, caller, forwarded: false });
    return [key, call] as const;
  });
  // The entries have the names of all methods, but TypeScript cannot derive the type of each call.
  return Object.fromEntries(entries) as unknown as RpcClient<Control>;
}
