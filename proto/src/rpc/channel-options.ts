import { type ChannelOptions, logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { TLS_CLIENT_OPTIONS } from "./credentials.js";
import { CLIENT_WINDOW_BYTES } from "./flow-control.js";
import {
  MAX_REQUEST_BYTES,
  MAX_RESPONSE_BYTES,
  MAX_SERVER_STREAMS,
  MAX_SESSION_MEMORY_MB,
  type MessageLimits,
} from "./limits.js";

// The options of all gRPC clients and servers, and the metadata keys of calls between servers.

// Disables grpc-js's own log lines; callers get the same information as errors.
setLogVerbosity(logVerbosity.NONE);

/** Metadata key for the address of the original client. Set on calls that one server forwards to another. */
export const FORWARDED_CLIENT_KEY = "berth-forwarded";

/** Metadata key for the URI of the original caller, as in its certificate. Set on forwarded calls. */
export const FORWARDED_CALLER_KEY = "berth-forwarded-caller";

/** Options that clients and servers share. */
const SHARED_OPTIONS: ChannelOptions = {
  // Detects half-open connections. Off by default in grpc-js.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // grpc-js has no limit by default.
  "grpc-node.max_session_memory": MAX_SESSION_MEMORY_MB,
  // grpc-js applies this to clients only. `flow-control.ts` sets the windows of servers.
  "grpc-node.flow_control_window": CLIENT_WINDOW_BYTES,
  // Reconnects to a restarted server within two seconds instead of two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Prevents all clients of a process from sharing one connection and its back-off.
  "grpc.use_local_subchannel_pool": 1,
};

export const SERVER_OPTIONS: ChannelOptions = {
  ...SHARED_OPTIONS,
  "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
  "grpc.max_send_message_length": MAX_RESPONSE_BYTES,
  "grpc.max_concurrent_streams": MAX_SERVER_STREAMS,
};

/** Returns the options of a client of a service with these limits. */
export function clientOptions({ request, response, window }: MessageLimits): ChannelOptions {
  return {
    ...SHARED_OPTIONS,
    ...TLS_CLIENT_OPTIONS,
    ...(window === undefined ? {} : { "grpc-node.flow_control_window": window }),
    "grpc.max_receive_message_length": response,
    "grpc.max_send_message_length": request,
  };
}
