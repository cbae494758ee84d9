import { PullPolicy, unscopedName } from "@berth/proto";
import { type Cursor, keyPlace, listFields, readText } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import { readBuildSettings } from "./build-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreWithNote } from "./unsupported-keys.js";

const PULL_POLICIES: ReadonlyMap<string, PullPolicy> = new Map([
  ["always", PullPolicy.ALWAYS],
  ["missing", PullPolicy.MISSING],
  ["if_not_present", PullPolicy.MISSING],
  ["never", PullPolicy.NEVER],
  // A deployment always builds the image. Nodes that lack the image get it from the cluster.
  ["build", PullPolicy.MISSING],
]);
/** Operating systems of platforms. Any other single word is an architecture. */
const OPERATING_SYSTEMS = ["linux", "windows", "darwin", "freebsd"];
/** Pattern of pull policies that check a registry for a newer image at intervals. */
const PERIODIC_POLICY = /^(?:refresh|daily|weekly|every_(?:\d+[wdhms])+)$/;

/** Reads the image of a service, its pull policy and its platform. */
export const IMAGE_KEYS: KeyTable<ServiceDraft> = {
  image: rule(readText, (draft, image, cursor) => {
    draft.container.image = image;
    draft.origins.set("task.container.image", cursor);
  }),
  build: readBuild,
  pull_policy: rule(readPullPolicy, (draft, policy) => {
    draft.container.pullPolicy = policy;
  }),
  pull_refresh_after: ignoreWithNote(
    "the registry is checked for a newer image at each deployment, not at this interval",
  ),
  platform: rule(readText, (draft, platform) => {
    draft.container.platform = withOperatingSystem(platform);
  }),
};

/** Returns the name of an image that is built without one: STACK-SERVICE, as in Compose. */
export function builtImageName(stack: string, service: string): string {
  return `${stack}-${service}`.toLowerCase();
}

/** Reads `build`. Must run after `image`, which names the built image. */
function readBuild(cursor: Cursor, draft: ServiceDraft): void {
  const { container, context, origins, spec } = draft;
  const fields = [...listFields(cursor)].map(([key, field]) => [key, keyPlace(field)] as const);
  const places = new Map([["", keyPlace(cursor)] as const, ...fields]);
  const hasImageName = container.image !== "";
  const service = unscopedName(context.stack, spec.name);
  if (!hasImageName) {
    container.image = builtImageName(context.stack, service);
    origins.set("task.container.image", keyPlace(cursor));
  }
  draft.build = { service, hasImageName, settings: readBuildSettings(cursor, context), places };
}

/** Returns `linux/arm64` for `arm64`: like Docker, Compose files can leave out the operating system. */
export function withOperatingSystem(platform: string): string {
  const isArchitecture = platform !== "" && !platform.includes("/") && !OPERATING_SYSTEMS.includes(platform);
  return isArchitecture ? `linux/${platform}` : platform;
}

function readPullPolicy(cursor: Cursor): PullPolicy | undefined {
  const text = readText(cursor);
  if (text === undefined) return undefined;
  const policy = PULL_POLICIES.get(text);
  if (policy !== undefined) return policy;
  if (PERIODIC_POLICY.test(text)) {
    const message = `the registry is checked for a newer image at each deployment, not ${text}`;
    cursor.diagnostics.warn(cursor, message);
    return PullPolicy.MISSING;
  }
  const validPolicies = [...PULL_POLICIES.keys()].join(", ");
  cursor.diagnostics.error(cursor, `${JSON.stringify(text)} is invalid; use ${validPolicies}`);
  return undefined;
}
