import {
  applySpecDefaults,
  assertNever,
  type NetworkAttachment,
  NetworkMode,
  PullPolicy,
  type ServiceSpec,
  TaskSpec,
  validateServiceSpec,
} from "@berth/proto";
import { assembleNetworks } from "./assemble-networks.js";
import { fillLabels } from "./fill-labels.js";
import { readBerthKeys } from "./keys/berth-keys.js";
import { warnAboutPortRanges } from "./keys/port-keys.js";
import { resolveRelativeBinds, type Shipment } from "./keys/relative-binds.js";
import type { ServiceBuild } from "./keys/service-build.js";
import { type Link, type ModeKey, newServiceDraft, type ServiceDraft } from "./keys/service-draft.js";
import { SERVICE_KEYS } from "./keys/service-keys.js";
import type { StackContext } from "./keys/stack-context.js";
import { findPlace, type Place } from "./text/diagnostics.js";
import { type Cursor, keyPlace } from "./tree/cursor.js";
import { applyKeys } from "./tree/key-table.js";

const DEFAULT_REPLICAS = 1;

/** The result of translating one service of a Compose file. */
export interface TranslatedService {
  /** The spec with all defaults. */
  readonly spec: ServiceSpec;
  /** Locations of parts of the spec in the file, by their path in the spec. */
  readonly origins: ReadonlyMap<string, Place>;
  readonly links: readonly Link[];
  /** Whether the file sets its mode or its replicas. */
  readonly hasMode: boolean;
  /** Build settings of the image. Undefined for a service without `build`. */
  readonly build: ServiceBuild | undefined;
  /** Files and directories that the client has to send to the nodes. */
  readonly shipments: readonly Shipment[];
}

/** Translates one service of a Compose file to its spec. Problems are reported to the cursor's diagnostics. */
export function translateService(name: string, cursor: Cursor, context: StackContext): TranslatedService {
  const draft = newServiceDraft(name, context);
  draft.origins.set("", keyPlace(cursor));
  applyKeys(cursor, SERVICE_KEYS, draft);
  readBerthKeys(cursor, draft);
  const shipments = resolveRelativeBinds(draft);
  warnAboutPortRanges(draft);
  const networks = assembleNetworks(draft);
  dropPortsWithoutNetwork(draft, cursor);
  const spec = assembleSpec(draft, networks);
  for (const { path, message } of validateServiceSpec(spec)) {
    if (path === "task.container.image" && draft.container.image === "") {
      reportMissingImage(cursor);
    } else {
      reportViolation(cursor, findPlace(path, draft.origins), message);
    }
  }
  const { key, replicas } = draft.mode;
  const hasMode = key !== undefined || replicas !== undefined || spec.cron !== undefined;
  const build = assembleBuild(draft);
  return { spec, origins: draft.origins, links: draft.links, hasMode, build, shipments };
}

function assembleBuild({ build, container }: ServiceDraft): ServiceBuild | undefined {
  if (build === undefined) return undefined;
  const { image, platform, pullPolicy } = container;
  const prefersRegistry = build.hasImageName && pullPolicy === PullPolicy.ALWAYS;
  return { ...build, image, platform, prefersRegistry };
}

function assembleSpec(draft: ServiceDraft, networks: NetworkAttachment[]): ServiceSpec {
  const { spec, container, limits, reservations, restart, placement, update, environment } = draft;
  const env = [...environment].map(([name, value]) => `${name}=${value}`);
  const task = TaskSpec.fromPartial({
    container: fillLabels({ ...container, env }, spec),
    limits,
    reservations,
    restart,
    networks,
  });
  return applySpecDefaults({ ...spec, task, placement, update, mode: assembleMode(draft) });
}

/**
 * Returns the mode of a service. As with `docker stack deploy`, the replicas of a job are both its completions and its
 * concurrency. A service with a cron schedule is a job by default. An autoscaled service starts with its minimum.
 */
function assembleMode({ mode, spec }: ServiceDraft): NonNullable<ServiceSpec["mode"]> {
  const key: ModeKey = mode.key ?? (spec.cron === undefined ? "replicated" : "replicated-job");
  switch (key) {
    case "global":
      return { $case: "global", value: {} };
    case "global-job":
      return { $case: "globalJob", value: {} };
    case "replicated-job": {
      const completions = mode.replicas ?? DEFAULT_REPLICAS;
      return { $case: "replicatedJob", value: { totalCompletions: completions, maxConcurrent: completions } };
    }
    case "replicated":
      return {
        $case: "replicated",
        value: { replicas: mode.replicas ?? spec.autoscale?.min ?? DEFAULT_REPLICAS },
      };
    default:
      return assertNever(key);
  }
}

/** Drops the ports of a container that uses the host's network or no network, as Docker does. */
function dropPortsWithoutNetwork({ container, spec, origins }: ServiceDraft, cursor: Cursor): void {
  const { networkMode } = container;
  const first = origins.get("ports[0]");
  if (first === undefined || (networkMode !== NetworkMode.HOST && networkMode !== NetworkMode.NONE)) return;
  const mode = networkMode === NetworkMode.HOST ? "host" : "none";
  cursor.diagnostics.warn(first, `ports are not published with network_mode: ${mode}`);
  spec.ports = [];
}

function reportMissingImage(cursor: Cursor): void {
  const isReported = ["image", "build", "extends"].some((key) =>
    cursor.diagnostics.hasErrorUnder(`${cursor.path}.${key}`),
  );
  if (!isReported) cursor.diagnostics.error(keyPlace(cursor), "the service has no image");
}

/** Reports a violation of the spec, unless its place already has an error. */
function reportViolation(cursor: Cursor, place: Place, message: string): void {
  if (!cursor.diagnostics.hasErrorAt(place)) cursor.diagnostics.error(place, message);
}
