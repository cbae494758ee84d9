import {
  applySpecDefaults,
  type NetworkAttachment,
  NetworkMode,
  type ServiceSpec,
  TaskSpec,
  validateServiceSpec,
} from "@berth/proto";
import { assembleMode } from "./assemble-mode.js";
import { assembleNetworks } from "./assemble-networks.js";
import { readBerthKeys } from "./keys/berth-keys.js";
import type { Link } from "./keys/link-keys.js";
import { newServiceDraft, type ServiceDraft, type StackContext } from "./keys/service-draft.js";
import { SERVICE_KEYS } from "./keys/service-keys.js";
import type { Place } from "./text/diagnostics.js";
import { type Cursor, keyPlace } from "./tree/cursor.js";
import { applyKeys } from "./tree/key-table.js";

export interface TranslatedService {
  /** With all defaults. */
  readonly spec: ServiceSpec;
  /** Where parts of the spec were written, by their path in the spec. */
  readonly origins: ReadonlyMap<string, Place>;
  /** Other names that it has for other services. */
  readonly links: readonly Link[];
}

/** The spec of one service. What is wrong with it is reported through the cursor. */
export function translateService(name: string, cursor: Cursor, context: StackContext): TranslatedService {
  const draft = newServiceDraft(name, context);
  draft.origins.set("", keyPlace(cursor));
  applyKeys(cursor, SERVICE_KEYS, draft);
  readBerthKeys(cursor, draft);
  const networks = assembleNetworks(draft);
  dropPortsWithoutNetwork(draft, cursor);
  const spec = assemble(draft, networks);
  for (const { path, message } of validateServiceSpec(spec)) {
    if (path === "task.container.image" && draft.container.image === "") reportNoImage(cursor);
    else reportViolation(cursor, { place: placeOf(path, draft.origins), message });
  }
  return { spec, origins: draft.origins, links: draft.links };
}

function assemble(draft: ServiceDraft, networks: NetworkAttachment[]): ServiceSpec {
  const { spec, container, limits, reservations, restart, placement, update, environment } = draft;
  const env = [...environment].map(([name, value]) => `${name}=${value}`);
  const parts = { container: { ...container, env }, limits, reservations, restart, networks };
  const task = TaskSpec.fromPartial(parts);
  return applySpecDefaults({ ...spec, task, placement, update, mode: assembleMode(draft) });
}

/** As Docker does: a container in the host's network has the host's ports, one without network has none. */
function dropPortsWithoutNetwork({ container, spec, origins }: ServiceDraft, cursor: Cursor): void {
  const { networkMode } = container;
  const first = origins.get("ports[0]");
  if (first === undefined || (networkMode !== NetworkMode.HOST && networkMode !== NetworkMode.NONE)) return;
  const mode = networkMode === NetworkMode.HOST ? "host" : "none";
  cursor.diagnostics.warn(first, `no port is published with network_mode: ${mode}`);
  spec.ports = [];
}

function reportNoImage(cursor: Cursor): void {
  const isBuilt = cursor.node.kind === "map" && cursor.node.entries.has("build");
  const isTold = cursor.diagnostics.hasErrorUnder(`${cursor.path}.image`);
  if (!isBuilt && !isTold) cursor.diagnostics.error(keyPlace(cursor), "the service has no image");
}

function reportViolation(cursor: Cursor, { place, message }: { place: Place; message: string }): void {
  if (!cursor.diagnostics.hasErrorAt(place)) cursor.diagnostics.error(place, message);
}

/** Where the part of the spec that a path names was written: its own place, or that of what it is part of. */
function placeOf(path: string, origins: ReadonlyMap<string, Place>): Place {
  for (let prefix = path; ; prefix = prefix.replace(/(?:\.[^.[]+|\[\d+\]|^[^.[]+)$/, "")) {
    const place = origins.get(prefix);
    if (place !== undefined) return place;
  }
}
