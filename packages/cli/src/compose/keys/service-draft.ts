import {
  ContainerSpec,
  type NetworkAttachment,
  Placement,
  Resources,
  RestartPolicy,
  ServiceSpec,
  scopedName,
  UpdateConfig,
} from "@berth/proto";
import type { Place } from "../text/diagnostics.js";
import type { PortRange } from "../text/short-port.js";
import type { RelativeBind } from "./relative-binds.js";
import type { ServiceBuild } from "./service-build.js";
import type { StackContext, StackNetwork } from "./stack-context.js";

export type ModeKey = "replicated" | "global" | "replicated-job" | "global-job";

/** The mode of a service. A property is undefined until a key sets it. */
export interface ModeDraft {
  key: ModeKey | undefined;
  replicas: number | undefined;
}

/** A network that a service joins. */
export interface JoinedNetwork {
  /** Key of the network under the top-level `networks:`. */
  readonly key: string;
  readonly network: StackNetwork;
  readonly attachment: NetworkAttachment;
  /** Whether the service lists the network. False for the default network of a service that lists none. */
  readonly isExplicit: boolean;
  gatewayPriority: number;
  priority: number;
}

/** Another name for a service, for containers that share a network with the linking service. */
export interface Link {
  /** Name of the service in the file. */
  readonly service: string;
  readonly alias: string;
}

/** The `build` settings, without those that other keys of the service determine. */
export type BuildDraft = Pick<ServiceBuild, "service" | "hasImageName" | "settings" | "places">;

/** A service while its keys are read. Each key rule writes a part of the draft. */
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
  /** Environment variables by name. */
  readonly environment: Map<string, string>;
  /** Locations of parts of the spec in the file, by their path in the spec. */
  readonly origins: Map<string, Place>;
  /** Networks that the service lists, in the order of the file. */
  readonly networks: JoinedNetwork[];
  /** Locations at which the service lists each network, by the name of the network in the cluster. */
  readonly networkPlaces: Map<string, Place>;
  readonly links: Link[];
  /** The ranges of published ports, and where they are written. */
  readonly portRanges: { readonly range: PortRange; readonly place: Place }[];
  build: BuildDraft | undefined;
  containerName: string;
  /** Driver of volumes without a driver of their own. */
  volumeDriver: string;
  readonly relativeBinds: RelativeBind[];
  /** Whether the relative bind mounts are sent to the nodes. */
  shipsBindMounts: boolean;
}

/** Creates the draft of a service without any keys. */
export function newServiceDraft(name: string, context: StackContext): ServiceDraft {
  const { stack } = context;
  return {
    context,
    spec: ServiceSpec.fromPartial({ name: scopedName(stack, name), stack }),
    mode: { key: undefined, replicas: undefined },
    container: ContainerSpec.fromPartial({}),
    limits: Resources.fromPartial({}),
    reservations: Resources.fromPartial({}),
    restart: RestartPolicy.fromPartial({}),
    placement: Placement.fromPartial({}),
    update: UpdateConfig.fromPartial({}),
    environment: new Map(),
    origins: new Map(),
    networks: [],
    networkPlaces: new Map(),
    links: [],
    portRanges: [],
    build: undefined,
    containerName: "",
    volumeDriver: "",
    relativeBinds: [],
    shipsBindMounts: false,
  };
}
