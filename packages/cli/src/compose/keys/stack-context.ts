import type { NetworkMode, NetworkSpec, VolumeMount } from "@berth/proto";
import type { Diagnostics } from "../text/diagnostics.js";
import type { Lookup } from "../text/template.js";

/** The environment in which a Compose file is loaded. `readFile` is the only I/O of the Compose reader. */
export interface Project {
  /** Name of the stack, which prefixes the names of its services, networks and volumes. */
  readonly stack: string;
  /** Absolute directory of the first file. Relative paths start here. */
  readonly directory: string;
  readonly homeDirectory: string;
  /** Looks a variable up in the environment, then in the `.env` file. */
  readonly lookup: Lookup;
  /** Returns undefined when the file does not exist. @throws BerthError when it cannot be read. */
  readonly readFile: (path: string) => Uint8Array | undefined;
}

/** A network under the top-level `networks:`, keyed by the name that services use. */
export interface StackNetwork {
  /** Name in the cluster. */
  readonly name: string;
  /** Whether the network exists outside of the stack. */
  readonly isExternal: boolean;
  /** Meaningful only for a network of the stack. */
  readonly spec: NetworkSpec;
  /** Set for `bridge`, `host` and `none`: networks that Docker provides on each host. */
  readonly mode: NetworkMode | undefined;
}

/** The stack that a service belongs to, and the parts of its files that the service can refer to. */
export interface StackContext {
  readonly project: Project;
  readonly diagnostics: Diagnostics;
  /** Services that are deployed. */
  readonly serviceNames: ReadonlySet<string>;
  /** Services that are not deployed, each with the profiles that would include it. */
  readonly disabledServices: ReadonlyMap<string, readonly string[]>;
  /** Networks by the name that services use, including the default network. */
  readonly networks: ReadonlyMap<string, StackNetwork>;
  /** Named volumes by the name that services use. */
  readonly volumes: ReadonlyMap<string, VolumeMount>;
}
