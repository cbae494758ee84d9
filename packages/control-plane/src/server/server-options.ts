import type { Logger } from "pino";
import type { Runtime } from "../runtime/runtime.js";
import type { ServerProblem } from "../runtime/server-problem.js";
import type { Store } from "../store/store.js";
import type { LeaderSettings } from "./leader-options.js";
import type { ServerPlatform } from "./server-platform.js";

export interface ServerOptions extends LeaderSettings {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** "host:port" for gRPC; port 0 picks a free port. */
  readonly listen: string;
  /** "host:port" for /healthz and /metrics. */
  readonly http: string;
  /** "host:port" of the web UI. Undefined for none. */
  readonly web?: string | undefined;
  /** Names at which browsers open the web UI, besides the advertised host and the hostname. */
  readonly webNames?: readonly string[];
  /** "host:port" where other servers and agents reach this server; the listen address when undefined. */
  readonly advertise: string | undefined;
  /** Path of the Unix socket for the administrator of this host. Undefined for none. */
  readonly socket?: string | undefined;
  readonly platform: ServerPlatform;
  /** Returns the current problems of this server's disk and etcd. Undefined in the simulation. */
  readonly problems?: () => readonly ServerProblem[];
}
