import { scopedName, serviceNameProblem } from "@berth/proto";
import type { Project } from "./keys/stack-context.js";
import { type Cursor, keyPlace, listFields, readFields, readTexts } from "./tree/cursor.js";
import { isNull } from "./tree/node.js";

/** The services of a file, split by whether their profiles enable them. */
export interface SelectedServices {
  readonly enabled: ReadonlyMap<string, Cursor>;
  /** Disabled services, each with the profiles that would enable it. */
  readonly disabled: ReadonlyMap<string, readonly string[]>;
}

/**
 * Selects the services to deploy: those without profiles, and those with a profile in `COMPOSE_PROFILES`. Reports
 * invalid names and empty services as errors, and each disabled service as a warning.
 */
export function selectServices(services: Cursor, project: Project): SelectedServices {
  const enabled = new Map<string, Cursor>();
  const disabled = new Map<string, readonly string[]>();
  const { diagnostics } = services;
  for (const [name, service] of readFields(services) ?? []) {
    const problem = serviceProblem(name, service, project);
    if (problem !== undefined) {
      // An undefined alias has already been reported as the reason why the service is empty.
      if (!diagnostics.hasErrorUnder(service.path)) diagnostics.error(keyPlace(service), problem);
      continue;
    }
    const profiles = readProfiles(service);
    if (isEnabled(profiles, project)) {
      enabled.set(name, service);
    } else {
      disabled.set(name, profiles);
      warnDisabled(service, profiles);
    }
  }
  if (enabled.size === 0 && !diagnostics.hasErrors) {
    diagnostics.error(keyPlace(services), "no service is enabled: all of them need a profile");
  }
  return { enabled, disabled };
}

/** Returns why a service cannot be deployed, regardless of its profiles. */
function serviceProblem(name: string, service: Cursor, { stack }: Project): string | undefined {
  const nameProblem = serviceNameProblem(name) ?? serviceNameProblem(scopedName(stack, name));
  if (nameProblem !== undefined) return nameProblem;
  return isNull(service.node) ? "the service has no image" : undefined;
}

function readProfiles(service: Cursor): readonly string[] {
  const profiles = listFields(service).get("profiles");
  return profiles === undefined || isNull(profiles.node) ? [] : (readTexts(profiles) ?? []);
}

function isEnabled(profiles: readonly string[], { lookup }: Project): boolean {
  const active = (lookup("COMPOSE_PROFILES") ?? "").split(",");
  return (
    profiles.length === 0 || active.includes("*") || profiles.some((profile) => active.includes(profile))
  );
}

function warnDisabled(service: Cursor, profiles: readonly string[]): void {
  const place = listFields(service).get("profiles") ?? service;
  service.diagnostics.warn(
    place,
    `the service is disabled: set COMPOSE_PROFILES=${profiles.join(" or ")} to enable it`,
  );
}
