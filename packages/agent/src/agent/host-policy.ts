import { DEFAULT_HOST_FILES, type HostFiles, type Policy, validatePolicy } from "@berth/proto";
import type { Logger } from "pino";
import type { PolicyView } from "../core/tasks/policy-refusal.js";

export interface HostPolicyOptions {
  /** The policy from the previous run of the agent. */
  readonly saved: Policy;
  /** @default the files of a host with default settings */
  readonly files?: HostFiles | undefined;
  readonly log: Logger;
}

/** The policy that this agent enforces: the last valid policy from a leader. */
export class HostPolicy {
  readonly #files: HostFiles;
  readonly #log: Logger;
  #policy: Policy;

  constructor({ saved, files = DEFAULT_HOST_FILES, log }: HostPolicyOptions) {
    this.#policy = saved;
    this.#files = files;
    this.#log = log;
  }

  get policy(): Policy {
    return this.#policy;
  }

  get view(): PolicyView {
    return { policy: this.#policy, files: this.#files };
  }

  /** Applies a leader's policy. Logs and ignores an invalid policy. */
  update(policy: Policy): void {
    const [problem] = validatePolicy(policy);
    if (problem === undefined) this.#policy = policy;
    else this.#log.error({ problem }, "the leader sent an invalid policy; keeping the last one");
  }
}
