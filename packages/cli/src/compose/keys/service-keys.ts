import { keyPlace, readText } from "../tree/cursor.js";
import { type KeyTable, rule } from "../tree/key-table.js";
import { DEPENDENCY_KEYS } from "./dependency-keys.js";
import { DEPLOY_KEYS } from "./deploy-keys.js";
import { DEVICE_KEYS } from "./device-keys.js";
import { ENVIRONMENT_KEYS } from "./environment-keys.js";
import { FILE_KEYS } from "./file-keys.js";
import { HEALTH_KEYS } from "./health-keys.js";
import { SERVICE_HOOK_KEYS } from "./hook-keys.js";
import { IMAGE_KEYS } from "./image-keys.js";
import { readLinks } from "./link-keys.js";
import { LOGGING_KEYS } from "./logging-keys.js";
import { METADATA_KEYS } from "./metadata-keys.js";
import { MOUNT_KEYS } from "./mount-keys.js";
import { NETWORK_KEYS } from "./network-keys.js";
import { PORT_KEYS } from "./port-keys.js";
import { PROCESS_KEYS } from "./process-keys.js";
import { RESOURCE_KEYS } from "./resource-keys.js";
import { SECURITY_KEYS } from "./security-keys.js";
import type { ServiceDraft } from "./service-draft.js";
import { ignoreIsolation, ignoreKey, ignoreWithNote, rejectKey, WINDOWS_ONLY } from "./unsupported-keys.js";

/** Rules for keys that belong to no other group, and for keys that berth does not support. */
const OTHER_KEYS: KeyTable<ServiceDraft> = {
  attach: ignoreWithNote("attach only affects the output of docker compose up; use berth service logs"),
  develop: ignoreWithNote("develop only affects docker compose watch, and has no effect in a cluster"),
  // `selectServices` has applied the profiles.
  profiles: ignoreKey(),
  container_name: rule(readText, (draft, name, cursor) => {
    draft.containerName = name;
    const message =
      "containers are named after their service and slot: the name is used as a network alias instead";
    cursor.diagnostics.warn(keyPlace(cursor), message);
  }),
  links: readLinks,
  credential_spec: ignoreWithNote(WINDOWS_ONLY),
  isolation: ignoreIsolation,
  provider: rejectKey(
    "a provider is a program on the machine that runs docker compose, which nodes do not have; replace the service with a container",
  ),
  models: rejectKey("models need Docker Model Runner, which nodes do not have; run the model as a service"),
  use_api_socket: rejectKey(
    "use_api_socket passes the Docker credentials of this machine, which nodes do not have; bind-mount /var/run/docker.sock instead",
  ),
};

/**
 * Rules for all keys of a service in a Compose file. They run in this order, because some rules use values that earlier
 * rules have written to the draft.
 */
export const SERVICE_KEYS: KeyTable<ServiceDraft> = {
  ...IMAGE_KEYS,
  ...PROCESS_KEYS,
  ...ENVIRONMENT_KEYS,
  ...METADATA_KEYS,
  ...LOGGING_KEYS,
  ...MOUNT_KEYS,
  ...FILE_KEYS,
  ...NETWORK_KEYS,
  ...PORT_KEYS,
  ...HEALTH_KEYS,
  ...SECURITY_KEYS,
  ...DEVICE_KEYS,
  ...SERVICE_HOOK_KEYS,
  ...RESOURCE_KEYS,
  ...DEPLOY_KEYS,
  ...DEPENDENCY_KEYS,
  ...OTHER_KEYS,
};
