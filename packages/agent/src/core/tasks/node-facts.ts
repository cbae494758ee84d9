/** What of its host goes into a container's configuration. */
export interface NodeFacts {
  readonly nodeId: string;
  readonly hostname: string;
  /** Where the other hosts reach the published ports of this host's containers. */
  readonly advertiseAddress: string;
  /** The Engine API version agreed with the daemon, such as "1.41". */
  readonly engineApiVersion: string;
}
