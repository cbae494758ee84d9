import { type ChannelOptions, logVerbosity, setLogVerbosity } from "@grpc/grpc-js";

// Disables grpc-js's own log lines; callers get the same information as errors.
setLogVerbosity(logVerbosity.NONE);

/** Metadata key of calls that one server forwards to another. */
export const FORWARDED_KEY = "berth-forwarded";

/** Options of all clients and servers. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  // Detects half-open connections. Off by default in grpc-js.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // A complete set of assignments or a long task list exceeds the default of 4 MiB.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // Reconnects to a restarted server within two seconds instead of two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Prevents that all clients of a process share one connection and its back-off.
  "grpc.use_local_subchannel_pool": 1,
};
