import { type ChannelOptions, logVerbosity, setLogVerbosity } from "@grpc/grpc-js";

// grpc-js writes its own lines to stderr; everything that they say reaches callers as an error.
setLogVerbosity(logVerbosity.NONE);

/** Set on calls that one server passes on to another. */
export const FORWARDED_KEY = "berth-forwarded";

/** Options of both ends of every connection. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  // Off by default in grpc-js: without it a half-open connection is never noticed.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // A complete assignment set or a long task list is larger than the default 4 MiB.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // A restarted server is found again within two seconds instead of up to two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Otherwise all clients of a process share one connection and its back-off.
  "grpc.use_local_subchannel_pool": 1,
};
