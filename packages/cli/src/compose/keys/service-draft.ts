import {
  ContainerSpec,
  Placement,
  Resources,
  RestartPolicy,
  ServiceSpec,
  scopedName,
  UpdateConfig,
  type VolumeMount,
} from "@berth/proto";
import type { Project } from "../project.js";
import type { Diagnostics, Place } from "../text/diagnostics.js";
import type { StackNetwork } from "../translate-networks.js";
import type { Cursor } from "../tree/cursor.js";
import type { Link } from "./link-keys.js";
import type { JoinedNetwork } from "./network-attachment-keys.js";

/** What the rest of the file says that a service may refer to. */
export interface StackContext {
  readonly project: Project;
  readonly diagnostics: Diagnostics;
  /** Services that are to be deployed. */
  readonly serviceNames: ReadonlySet<string>;
  /** Services that are left out, and the profiles of which one would bring them in. */
  readonly inactiveNames: ReadonlyMap<string, readonly string[]>;
  /** Networks by the name that services use for them, the default one among them. */
  readonly networks: ReadonlyMap<string, StackNetwork>;
  /** Named volumes by the name that services use for them. */
  readonly volumes: ReadonlyMap<string, VolumeMount>;
}

export type ModeWord = "replicated" | "global" | "replicated-job" | "global-job";

/** How often a service runs, as far as its keys say it. */
export interface ModeDraft {
  word: ModeWord | undefined;
  replicas: number | undefined;
}

/** A service while its keys are read: every key writes its part. */
export interface ServiceDraft {
  readonly context: StackContext;
  readonly spec: ServiceSpec;
  readonly mode: ModeDraft;
  readonly container: ContainerSpec;
  readonly limits: Resources;
  readonly reservations: Resources;
  readonly restart: RestartPolicy;
  readonly placement: Placement;
  readonly update: UpdateConfig;
  /** Variables so far: env files first, then `environment`. */
  readonly environment: Map<string, string>;
  /** Where parts of the spec were written, by their path in the spec. */
  readonly origins: Map<string, Place>;
  /** Networks that it lists, in the order of the file. */
  readonly networks: JoinedNetwork[];
  /** Where it lists them, by their name in the cluster. */
  readonly attachmentPlaces: Map<string, Place>;
  /** Other names of other services that it uses. */
  readonly links: Link[];
  /** What Compose would call its container. */
  containerName: string;
}

export function newServiceDraft(name: string, context: StackContext): ServiceDraft {
  const container = ContainerSpec.fromPartial({});
  const parts = {
    limits: Resources.fromPartial({}),
    reservations: Resources.fromPartial({}),
    restart: RestartPolicy.fromPartial({}),
    placement: Placement.fromPartial({}),
    update: UpdateConfig.fromPartial({}),
  };
  const { stack } = context.project;
  const spec = ServiceSpec.fromPartial({ name: scopedName(stack, name), stack });
  const mode: ModeDraft = { word: undefined, replicas: undefined };
  return {
    context,
    spec,
    mode,
    container,
    ...parts,
    environment: new Map(),
    origins: new Map(),
    networks: [],
    attachmentPlaces: new Map(),
    links: [],
    containerName: "",
  };
}

/** Reads one key of a mapping into a draft. */
export type KeyRule<Draft> = (cursor: Cursor, draft: Draft) => void;

/** The rules of a mapping's keys. They run in the order of the table, not of the file: later ones win. */
export type KeyTable<Draft> = Readonly<Record<string, KeyRule<Draft>>>;

/** A rule that reads a value and hands it on when it was readable. */
export function rule<T, Draft = ServiceDraft>(
  read: (cursor: Cursor) => T | undefined,
  write: (draft: Draft, value: T, cursor: Cursor) => void,
): KeyRule<Draft> {
  return (cursor, draft) => {
    const value = read(cursor);
    if (value !== undefined) write(draft, value, cursor);
  };
}
