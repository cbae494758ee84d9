import type { Ulimit } from "@berth/proto";
import type { Place } from "../text/diagnostics.js";
import type { FileSource } from "./stack-context.js";

/** A secret that a Dockerfile can mount. */
export interface BuildSecret {
  readonly id: string;
  readonly source: Pick<FileSource, "kind" | "value">;
}

/** The `build` of a service. Empty texts and lists stand for keys that are not set. */
export interface BuildSettings {
  /** An absolute path, or the URL of a Git repository or of an archive. */
  readonly context: string;
  /** Absolute, or relative to the context. */
  readonly dockerfile: string;
  /** The contents of an inline Dockerfile. */
  readonly dockerfileInline: string;
  readonly args: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string;
  readonly network: string;
  /** 0 for Docker's default. */
  readonly shmSizeBytes: number;
  /** `HOST:ADDRESS` */
  readonly extraHosts: readonly string[];
  readonly ulimits: readonly Ulimit[];
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly noCache: boolean;
  /** Stages to build without a cache. */
  readonly noCacheFilter: readonly string[];
  /** Whether to pull the base images again. */
  readonly pull: boolean;
  readonly platforms: readonly string[];
  /** Additional contexts by name: paths, URLs, `docker-image://IMAGE`, or `service:SERVICE` for the image of a service. */
  readonly additionalContexts: Readonly<Record<string, string>>;
  readonly secrets: readonly BuildSecret[];
  /** `ID` for the SSH agent, or `ID=PATH`. */
  readonly ssh: readonly string[];
  readonly privileged: boolean;
  readonly entitlements: readonly string[];
  readonly provenance: string;
  readonly sbom: string;
  /** Additional names of the image. */
  readonly tags: readonly string[];
}

/** A service whose image can be built. */
export interface ServiceBuild {
  /** Name of the service in the file. */
  readonly service: string;
  /** Name of the image in the file, by default STACK-SERVICE. */
  readonly image: string;
  /** Whether the file names the image. */
  readonly hasImageName: boolean;
  /** Whether the registry is preferred, because of `pull_policy: always`. */
  readonly prefersRegistry: boolean;
  /** Platform of the service, such as "linux/arm64". Empty for any. */
  readonly platform: string;
  readonly settings: BuildSettings;
  /** Locations of the keys of `build`, by name. `build` itself has the empty name. */
  readonly places: ReadonlyMap<string, Place>;
}
