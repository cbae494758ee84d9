import {
  type Cursor,
  keyPlace,
  listFields,
  readBytes,
  readFlag,
  readItems,
  readKeyValues,
  readText,
  readTextMap,
  readTexts,
} from "../tree/cursor.js";
import { applyKeys, type KeyRule, type KeyTable, rule } from "../tree/key-table.js";
import { textOf } from "../tree/node.js";
import { readExtraHosts } from "./network-keys.js";
import { readUlimits } from "./resource-keys.js";
import type { BuildSecret, BuildSettings } from "./service-build.js";
import type { StackContext } from "./stack-context.js";
import { ignoreIsolation } from "./unsupported-keys.js";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The build settings while the keys are read. */
interface BuildDraft {
  readonly settings: Mutable<BuildSettings>;
  readonly secrets: StackContext["secrets"];
}

const EMPTY_BUILD: BuildSettings = {
  context: "",
  dockerfile: "",
  dockerfileInline: "",
  args: {},
  labels: {},
  target: "",
  network: "",
  shmSizeBytes: 0,
  extraHosts: [],
  ulimits: [],
  cacheFrom: [],
  cacheTo: [],
  noCache: false,
  noCacheFilter: [],
  pull: false,
  platforms: [],
  additionalContexts: {},
  secrets: [],
  ssh: [],
  privileged: false,
  entitlements: [],
  provenance: "",
  sbom: "",
  tags: [],
};

/** Properties of a mounted secret that the Dockerfile sets, not the Compose file. */
const MOUNT_PROPERTIES = ["uid", "gid", "mode"];

const BUILD_KEYS: KeyTable<BuildDraft> = {
  context: setting("context", readText),
  dockerfile: setting("dockerfile", readText),
  dockerfile_inline: setting("dockerfileInline", readText),
  args: setting("args", readTextMap),
  labels: setting("labels", readTextMap),
  target: setting("target", readText),
  network: setting("network", readText),
  isolation: ignoreIsolation,
  shm_size: setting("shmSizeBytes", readBytes),
  extra_hosts: setting("extraHosts", readExtraHosts),
  ulimits: setting("ulimits", readUlimits),
  cache_from: setting("cacheFrom", readTexts),
  cache_to: setting("cacheTo", readTexts),
  no_cache: setting("noCache", readFlag),
  no_cache_filter: setting("noCacheFilter", readTexts),
  pull: setting("pull", readFlag),
  platforms: setting("platforms", readTexts),
  additional_contexts: setting("additionalContexts", readTextMap),
  secrets: readSecrets,
  ssh: setting("ssh", readSsh),
  privileged: setting("privileged", readFlag),
  entitlements: setting("entitlements", readTexts),
  provenance: setting("provenance", readText),
  sbom: setting("sbom", readText),
  tags: setting("tags", readTexts),
};

/** Reads the `build` key of a service. */
export function readBuildSettings(cursor: Cursor, { secrets }: StackContext): BuildSettings {
  const draft: BuildDraft = { settings: { ...EMPTY_BUILD }, secrets };
  applyKeys(cursor, BUILD_KEYS, draft);
  return draft.settings;
}

function setting<Key extends keyof BuildSettings>(
  key: Key,
  read: (cursor: Cursor) => BuildSettings[Key] | undefined,
): KeyRule<BuildDraft> {
  return rule<BuildSettings[Key], BuildDraft>(read, ({ settings }, value) => {
    settings[key] = value;
  });
}

function readSsh(cursor: Cursor): readonly string[] | undefined {
  const keys = readKeyValues(cursor);
  return keys && [...keys].map(([id, { value }]) => (value ? `${id}=${value}` : id));
}

function readSecrets(cursor: Cursor, { settings, secrets }: BuildDraft): void {
  settings.secrets = (readItems(cursor) ?? []).flatMap((item) => readSecret(item, secrets) ?? []);
}

function readSecret(cursor: Cursor, secrets: StackContext["secrets"]): BuildSecret | undefined {
  const name = textOf(cursor.node, "source") ?? "";
  const secret = secrets.get(name);
  // `checkProject` reports unknown secrets.
  if (secret === undefined) return undefined;
  for (const property of MOUNT_PROPERTIES) {
    const field = listFields(cursor).get(property);
    if (field === undefined) continue;
    const message = `BuildKit ignores the ${property} of a secret; set it with RUN --mount=type=secret in the Dockerfile`;
    field.diagnostics.warn(keyPlace(field), message);
  }
  if (secret.source === undefined) {
    const message = `a build cannot read secret ${name} from the cluster; set "file" or "environment" for it`;
    cursor.diagnostics.error(cursor, message);
    return undefined;
  }
  const { kind, value } = secret.source;
  return { id: textOf(cursor.node, "target") ?? name, source: { kind, value } };
}
