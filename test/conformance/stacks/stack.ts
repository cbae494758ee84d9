/** A stack that berth can deploy in a lab without its images. */
export interface DeployableStack {
  /** Path of the Compose file in the corpus. */
  readonly name: string;
  readonly file: string;
  readonly services: readonly StackService[];
  /** Names of the networks that must exist before the stack. */
  readonly externalNetworks: readonly string[];
  /** Paths of the files that the stack needs and the corpus lacks, from the directory of the Compose file. */
  readonly missingFiles: readonly string[];
}

export interface StackService {
  readonly name: string;
  readonly networks: readonly string[];
  readonly image: string;
  /** Ports that the service publishes, in the container. */
  readonly ports: readonly number[];
  /** The first word of the health check. Undefined without a health check. */
  readonly healthProgram: string | undefined;
  /**
   * Files and directories that it mounts, by their path in the container. Paths are from the directory of the Compose
   * file.
   */
  readonly mounts: ReadonlyMap<string, string>;
}

/** Returns the other services that share a network with a service. */
export function neighborsOf(
  service: StackService,
  services: readonly StackService[],
): readonly StackService[] {
  return services.filter(
    (other) => other !== service && other.networks.some((network) => service.networks.includes(network)),
  );
}
