import { DispatcherServiceService } from "@berth/proto";
import type { CallContext, RpcHandlers } from "@berth/proto/rpc";
import type { ClusterState } from "../state/cluster-state.js";
import type { Dispatcher } from "./dispatcher.js";
import { findImage } from "./find-image.js";
import type { ExecRelay } from "./relays/exec-relay.js";
import type { ImageInventories } from "./relays/image-inventories.js";
import type { ImageUploadRelay } from "./relays/image-upload-relay.js";
import type { LogRelay } from "./relays/log-relay.js";
import type { StatsRelay } from "./relays/stats-relay.js";

export interface DispatcherServiceOptions {
  readonly dispatcher: Dispatcher;
  readonly execs: ExecRelay;
  readonly logs: LogRelay;
  readonly stats: StatsRelay;
  readonly imageInventories: ImageInventories;
  readonly imageUploads: ImageUploadRelay;
  readonly state: ClusterState;
  /** Called when a session ends with an error, such as a missing permission. */
  readonly onSessionError: (path: string, context: CallContext, error: unknown) => void;
}

/** Creates the leader's handlers of the Dispatcher service, which agents call. They serve one term. */
export function dispatcherHandlers({
  dispatcher,
  execs,
  logs,
  stats,
  imageInventories,
  imageUploads,
  state,
  onSessionError,
}: DispatcherServiceOptions): RpcHandlers<typeof DispatcherServiceService> {
  return {
    async *session(requests, context) {
      try {
        yield* dispatcher.serve(requests, context);
      } catch (error) {
        onSessionError(DispatcherServiceService.session.path, context, error);
        throw error;
      }
    },
    pushExec: (requests, context) => execs.serve(requests, context),
    pushLogs: (requests, context) => logs.serve(requests, context),
    pushStats: (requests, context) => stats.serve(requests, context),
    findImage: (request, context) => findImage(request, { state, imageInventories }, context),
    receiveImage: (requests, context) => imageUploads.serve(requests, context),
  };
}
