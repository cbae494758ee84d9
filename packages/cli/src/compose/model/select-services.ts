import { type Cursor, listFields } from "../tree/cursor.js";
import { childOf, isNull } from "../tree/node.js";

/** The services of a project, split by whether their profiles enable them. */
export interface SelectedServices {
  readonly enabled: ReadonlyMap<string, Cursor>;
  /** Disabled services, each with the profiles that would enable it. */
  readonly disabled: ReadonlyMap<string, readonly string[]>;
}

/** Selects the services without profiles and those with an enabled profile. Warns about each disabled service. */
export function selectServices(root: Cursor, enabledProfiles: readonly string[]): SelectedServices {
  const enabled = new Map<string, Cursor>();
  const disabled = new Map<string, readonly string[]>();
  const services = listFields(root).get("services");
  for (const [name, service] of services === undefined ? [] : listFields(services)) {
    // The service could not be read, which has been reported.
    if (isNull(service.node)) continue;
    const profiles = profilesOf(service);
    const isEnabled =
      profiles.length === 0 ||
      enabledProfiles.includes("*") ||
      profiles.some((profile) => profile === "*" || enabledProfiles.includes(profile));
    if (isEnabled) {
      enabled.set(name, service);
    } else {
      disabled.set(name, profiles);
      warnDisabled(service, profiles);
    }
  }
  return { enabled, disabled };
}

function profilesOf({ node }: Cursor): readonly string[] {
  const profiles = childOf(node, "profiles");
  return profiles?.kind === "list"
    ? profiles.items.flatMap((item) => (item.kind === "scalar" ? item.text : []))
    : [];
}

function warnDisabled(service: Cursor, profiles: readonly string[]): void {
  const place = listFields(service).get("profiles") ?? service;
  const message = `the service is disabled; use --profile ${profiles.join(" or ")} to enable it`;
  service.diagnostics.warn(place, message);
}
