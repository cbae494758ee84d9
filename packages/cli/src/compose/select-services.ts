import { scopedName, serviceNameProblem } from "@berth/proto";
import type { Project } from "./project.js";
import { type Cursor, keyPlace, readFields, readTexts } from "./tree/cursor.js";
import { isNull } from "./tree/node.js";

/** The services of a file, by whether they are to be deployed. */
export interface SelectedServices {
  readonly active: ReadonlyMap<string, Cursor>;
  /** Left out, and the profiles of which one would bring them in. */
  readonly inactive: ReadonlyMap<string, readonly string[]>;
}

/** The services to deploy: all but those whose profiles are not asked for. */
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
    diagnostics.error(keyPlace(cursor), "no service is left: all of them need a profile");
  }
  return { active, inactive };
}

/** A service whose alias leads nowhere is empty too, and that was said. */
function reportEmptyService(service: Cursor): void {
  if (service.diagnostics.hasErrorUnder(service.path)) return;
  service.diagnostics.error(keyPlace(service), "the service has no image");
}

/** A service without profiles is always in; of others, the profiles of which COMPOSE_PROFILES names none. */
function missingProfiles(service: Cursor, project: Project): readonly string[] | undefined {
  const node = service.node.kind === "map" ? service.node.entries.get("profiles")?.value : undefined;
  if (node === undefined || isNull(node)) return undefined;
  const place = { ...service, node, at: node.at, path: `${service.path}.profiles` };
  const profiles = readTexts(place) ?? [];
  const asked = (project.lookup("COMPOSE_PROFILES") ?? "").split(",");
  const isIn =
    profiles.length === 0 || asked.includes("*") || profiles.some((profile) => asked.includes(profile));
  if (isIn) return undefined;
  const message = `the service is left out: it needs COMPOSE_PROFILES=${profiles.join(" or ")}`;
  service.diagnostics.warn(place, message);
  return profiles;
}
