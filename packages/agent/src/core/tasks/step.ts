import type { ErrorCode } from "@berth/proto";
import type { EndpointBody } from "../docker/create-body.js";
import type { ObservedContainer } from "../docker/observed-container.js";
import type { ContainerConfig } from "./container-config.js";
import type { HookResult, HookRun } from "./hooks.js";
import type { ProbedPorts } from "./readiness.js";
import type { TaskShippedMounts } from "./shipped-mounts.js";
import type { CheckedHealth, HealthCheck } from "./start-check.js";
import type { TaskFileSet } from "./task-files.js";

/** One action on one task. The agent inspects the task's container after it. */
export type Step =
  | { readonly kind: "check-image"; readonly image: string }
  /** Pulls the image with the logins of the stack. */
  | { readonly kind: "pull"; readonly image: string; readonly platform: string; readonly stack: string }
  /** Writes the task's secrets and configs unless they exist. */
  | ({ readonly kind: "write-files" } & TaskFileSet)
  /** Fetches the task's shipped mounts and writes its copies unless they exist. */
  | ({ readonly kind: "write-shipped" } & TaskShippedMounts)
  | { readonly kind: "create"; readonly taskId: string; readonly config: ContainerConfig }
  /** Joins one more network before the start: Docker before 25.0 accepts one network at creation. */
  | {
      readonly kind: "connect";
      readonly containerId: string;
      readonly network: string;
      readonly endpoint: EndpointBody;
    }
  | { readonly kind: "start"; readonly containerId: string }
  /** Runs the hooks of a container that has started. */
  | ({ readonly kind: "post-start" } & HookRun)
  /** Runs the hooks of a container that is about to be stopped. */
  | ({
      readonly kind: "pre-stop";
      /** Why the agent stops the task. The same as in `stop`. */
      readonly failure: string;
    } & HookRun)
  | {
      readonly kind: "stop";
      readonly containerId: string;
      readonly graceMs: number;
      /** Why the agent stops a task that should be running. Empty for a task that should not run. */
      readonly failure: string;
    }
  /** Probes whether the container's ports accept connections. */
  | {
      readonly kind: "probe-ports";
      readonly containerId: string;
      readonly address: string;
      readonly ports: readonly number[];
    }
  /** Runs the health check of a starting container. */
  | ({ readonly kind: "check-health" } & HealthCheck)
  | { readonly kind: "remove"; readonly containerId: string }
  /** Rejects a task whose container was created but must not start. */
  | { readonly kind: "reject"; readonly reason: string }
  /** Removes the secrets, configs and shipped mounts of a task without a container. */
  | { readonly kind: "remove-files"; readonly taskId: string };

/** The result of a step. */
export type StepOutcome =
  /** The step succeeded. `container` is the container after the step. */
  | { readonly kind: "observed"; readonly container: ObservedContainer }
  | { readonly kind: "gone"; readonly containerId: string }
  | ({ readonly kind: "ports-probed" } & ProbedPorts)
  | ({ readonly kind: "health-checked" } & CheckedHealth)
  | ({ readonly kind: "hooks-run" } & HookResult)
  /** The image was checked or pulled. The image cache has the result. */
  | { readonly kind: "image-known" }
  | { readonly kind: "files-written" }
  | { readonly kind: "shipped-written" }
  | { readonly kind: "files-removed" }
  /** The step failed, and a retry would fail too. */
  | { readonly kind: "rejected"; readonly reason: string; readonly errorCode?: ErrorCode }
  /** The step failed, and a retry may succeed. */
  | { readonly kind: "failed"; readonly reason: string }
  /** The daemon became unavailable: the step may or may not have taken effect. */
  | { readonly kind: "unknown"; readonly reason: string }
  /** Canceled before it took effect. */
  | { readonly kind: "canceled" };

/** The next step of a task, or the time of the next decision. */
export interface Decision {
  readonly step?: Step;
  /** Reason for the step, for the log. */
  readonly reason?: string;
  /** When to decide again unless an event occurs first. */
  readonly requeueAtMs?: number;
  /** Whether nothing of the task remains on this node. */
  readonly isGone?: boolean;
}
