import { scopedName, serviceNameProblem } from "@berth/proto";
import type { Project } from "./keys/stack-context.js";
import { type Cursor, keyPlace, readFields, readTexts } from "./tree/cursor.js";
import { isNull } from "./tree/node.js";

/** The services of a file, split by whether they are deployed. */
export interface SelectedServices {
  readonly active: ReadonlyMap<string, Cursor>;
  /** Disabled services, each with the profiles that would include it. */
  readonly inactive: ReadonlyMap<string, readonly string[]>;
}

/** Selects the services to deploy: those without profiles, and those of which a profile is active. */
export function selectServices(cursor: Cursor, project: Project): SelectedServices {
  const active = new Map<string, Cursor>();
  const inactive = new Map<string, readonly string[]>();
  const { diagnostics } = cursor;
  for (const [name, service] of readFields(cursor) ?? []) {
    const problem = serviceNameProblem(name) ?? serviceNameProblem(scopedName(project.stack, name));
    if (problem !== undefined) diagnostics.error(keyPlace(service), problem);
    else if (isNull(service.node)) reportEmptyService(service);
    else {
      const profiles = missingProfiles(service, project);
      if (profiles === undefined) active.set(name, service);
      else inactive.set(name, profiles);
    }
  }
  if (active.size === 0 && !diagnostics.hasErrors) {
    diagnostics.error(keyPlace(cursor), "no service is enabled: all of them need a profile");
  }
  return { active, inactive };
}

/** Reports a service without keys, unless its alias has already been reported as undefined. */
function reportEmptyService(service: Cursor): void {
  if (service.diagnostics.hasErrorUnder(service.path)) return;
  service.diagnostics.error(keyPlace(service), "the service has no image");
}

/** Returns the profiles of a service when COMPOSE_PROFILES activates none of them, otherwise undefined. */
function missingProfiles(service: Cursor, project: Project): readonly string[] | undefined {
  const node = service.node.kind === "map" ? service.node.entries.get("profiles")?.value : undefined;
  if (node === undefined || isNull(node)) return undefined;
  const place = { ...service, node, position: node.position, path: `${service.path}.profiles` };
  const profiles = readTexts(place) ?? [];
  const active = (project.lookup("COMPOSE_PROFILES") ?? "").split(",");
  const isActive =
    profiles.length === 0 || active.includes("*") || profiles.some((profile) => active.includes(profile));
  if (isActive) return undefined;
  const message = `the service is disabled: set COMPOSE_PROFILES=${profiles.join(" or ")} to enable it`;
  service.diagnostics.warn(place, message);
  return profiles;
}
