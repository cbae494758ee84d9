import type { FileKind, NetworkMode, NetworkSpec, VolumeMount } from "@berth/proto";
import type { Diagnostics } from "../text/diagnostics.js";
import type { Cursor } from "../tree/cursor.js";

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

/** A secret or config under the top-level `secrets:` or `configs:`, keyed by the name that services use. */
export interface StackFile {
  readonly kind: FileKind;
  /** Name in the cluster. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether agents replace placeholders in the content. */
  readonly isTemplate: boolean;
  /** Source of the content. Undefined for an external file, which exists outside of the stack. */
  readonly source: FileSource | undefined;
}

/** The source of the content of a secret or config, and its place in the Compose file. */
export interface FileSource {
  /** A file next to the Compose file, a variable of the environment, or text in the Compose file. */
  readonly kind: "path" | "variable" | "text";
  readonly value: string;
  readonly cursor: Cursor;
}

/** The stack of a service, and the parts of its files to which the service can refer. */
export interface StackContext {
  /** Name of the stack, which prefixes the names of its services. */
  readonly stack: string;
  readonly diagnostics: Diagnostics;
  readonly serviceNames: ReadonlySet<string>;
  /** The services by the names that `container_name` gives to their containers. */
  readonly serviceByContainer: ReadonlyMap<string, string>;
  /** Networks by the name that services use, including the default network. */
  readonly networks: ReadonlyMap<string, StackNetwork>;
  /** Named volumes by the name that services use. */
  readonly volumes: ReadonlyMap<string, VolumeMount>;
  /** Secrets by the name that services use. */
  readonly secrets: ReadonlyMap<string, StackFile>;
  /** Configs by the name that services use. */
  readonly configs: ReadonlyMap<string, StackFile>;
}
