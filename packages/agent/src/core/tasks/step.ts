import type { EndpointBody } from "../docker/create-body.js";
import type { ContainerConfig } from "./container-config.js";

/** One small thing to do for one task. After it, Docker is looked at again. */
export type Step =
  | { readonly kind: "check-image"; readonly image: string }
  | { readonly kind: "pull"; readonly image: string; readonly platform: string }
  | { readonly kind: "create"; readonly taskId: string; readonly config: ContainerConfig }
  /** One more network, before it is started: older daemons take a single one when they make a container. */
  | {
      readonly kind: "connect";
      readonly containerId: string;
      readonly network: string;
      readonly endpoint: EndpointBody;
    }
  | { readonly kind: "start"; readonly containerId: string }
  | {
      readonly kind: "stop";
      readonly containerId: string;
      readonly graceMs: number;
      /** Set when the task should run and berth stops it all the same: why. */
      readonly failing: string;
    }
  /** Sees whether the container's ports accept connections. */
  | {
      readonly kind: "knock";
      readonly containerId: string;
      readonly address: string;
      readonly targets: readonly number[];
    }
  | { readonly kind: "remove"; readonly containerId: string };

/** What is to be done and said about one task now. */
export interface Decision {
  readonly step?: Step;
  /** Why the step, for the log. */
  readonly reason?: string;
  /** Look again then, whatever happens until then. */
  readonly requeueAtMs?: number;
  /** Nothing of the task is left on this node. */
  readonly isGone?: boolean;
}
