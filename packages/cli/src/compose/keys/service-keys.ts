import { keyPlace, readText } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import { DEPENDENCY_KEYS } from "./dependency-keys.js";
import { DEPLOY_KEYS } from "./deploy-keys.js";
import { ENVIRONMENT_KEYS } from "./environment-keys.js";
import { HEALTH_KEYS } from "./health-keys.js";
import { IMAGE_KEYS } from "./image-keys.js";
import { readLinks } from "./link-keys.js";
import { METADATA_KEYS } from "./metadata-keys.js";
import { MOUNT_KEYS } from "./mount-keys.js";
import { NETWORK_KEYS } from "./network-keys.js";
import { PORT_KEYS } from "./port-keys.js";
import { PROCESS_KEYS } from "./process-keys.js";
import { RESOURCE_KEYS } from "./resource-keys.js";
import { SECURITY_KEYS } from "./security-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./unsupported-keys.js";

const OTHER_KEYS: KeyTable<ServiceDraft> = {
  attach: ignoreKey(),
  develop: ignoreKey(),
  // `selectServices` reads the profiles before the other keys.
  profiles: ignoreKey(),
  container_name: rule(readText, (draft, name, cursor) => {
    draft.containerName = name;
    const message =
      "containers are named after their service and slot; the name becomes a network alias of the service";
    cursor.diagnostics.warn(keyPlace(cursor), message);
  }),
  // After depends_on, whose conditions have precedence.
  links: readLinks,
  credential_spec: ignoreWithWarning("Windows only"),
  isolation: ignoreWithWarning("Windows only"),
  configs: rejectKey("configs; put the file into the image or bind-mount it from each node"),
  secrets: rejectKey("secrets; use an environment variable or bind-mount a file from each node"),
  extends: rejectKey("extends; use a YAML anchor or several -c files"),
  post_start: rejectKey("post_start commands"),
  pre_start: rejectKey("pre_start commands"),
  pre_stop: rejectKey("pre_stop commands"),
  provider: rejectKey("provider services"),
  models: rejectKey("models"),
  use_api_socket: rejectKey("use_api_socket; bind-mount /var/run/docker.sock instead"),
};

/** All keys of a service. The order matters: later rules see what earlier ones wrote. */
export const SERVICE_KEYS: KeyTable<ServiceDraft> = {
  ...IMAGE_KEYS,
  ...PROCESS_KEYS,
  ...ENVIRONMENT_KEYS,
  ...METADATA_KEYS,
  ...MOUNT_KEYS,
  ...NETWORK_KEYS,
  ...PORT_KEYS,
  ...HEALTH_KEYS,
  ...SECURITY_KEYS,
  ...RESOURCE_KEYS,
  ...DEPLOY_KEYS,
  ...DEPENDENCY_KEYS,
  ...OTHER_KEYS,
};
