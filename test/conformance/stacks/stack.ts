/** A stack that berth can deploy in a lab with replacement images. */
export interface DeployableStack {
  /** Path of the Compose file in the corpus. */
  readonly name: string;
  readonly file: string;
  readonly services: readonly StackService[];
  /** Names of external networks, which must exist before the deployment. */
  readonly externalNetworks: readonly string[];
  /** Paths, relative to the Compose file's directory, of files that the stack needs and the corpus lacks. */
  readonly missingFiles: readonly string[];
}

export interface StackService {
  readonly name: string;
  readonly networks: readonly string[];
  readonly image: string;
  /** Container ports that the service publishes. */
  readonly ports: readonly number[];
  /** First word of the health check's command. Undefined if there is no health check. */
  readonly healthProgram: string | undefined;
  /**
   * Mounted files and directories: paths in the container, mapped to paths relative to the Compose file's directory.
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
