import { keyPlace, readText } from "../tree/cursor.js";
import { DEPENDENCY_KEYS } from "./dependency-keys.js";
import { DEPLOY_KEYS } from "./deploy-keys.js";
import { ENVIRONMENT_KEYS } from "./environment-keys.js";
import { HEALTH_KEYS } from "./health-keys.js";
import { IMAGE_KEYS } from "./image-keys.js";
import { LABEL_KEYS } from "./label-keys.js";
import { readLinks } from "./link-keys.js";
import { NETWORK_KEYS } from "./network-keys.js";
import { ignoreKey, ignoreWithWarning, rejectKey } from "./not-supported.js";
import { PORT_KEYS } from "./port-keys.js";
import { PROCESS_KEYS } from "./process-keys.js";
import { RESOURCE_KEYS } from "./resource-keys.js";
import { SECURITY_KEYS } from "./security-keys.js";
import { type KeyTable, rule, type ServiceDraft } from "./service-draft.js";
import { STORAGE_KEYS } from "./storage-keys.js";

const OTHER_KEYS: KeyTable<ServiceDraft> = {
  attach: ignoreKey(),
  develop: ignoreKey(),
  // Decided before a service's keys are read: one that is left out has no spec.
  profiles: ignoreKey(),
  container_name: rule(readText, (draft, name, cursor) => {
    draft.containerName = name;
    const message =
      "containers are named after their service and slot; the name is one of the service's in its networks";
    cursor.diagnostics.warn(keyPlace(cursor), message);
  }),
  // After depends_on, which can say more of the same service.
  links: readLinks,
  credential_spec: ignoreWithWarning("it is for Windows"),
  isolation: ignoreWithWarning("it is for Windows"),
  configs: rejectKey("configs. Put the file into the image, or bind-mount it from each node"),
  secrets: rejectKey("secrets. Use a variable, or bind-mount a file from each node"),
  extends: rejectKey("extends. Use a YAML anchor, or several -c files"),
  post_start: rejectKey("commands after the start"),
  pre_start: rejectKey("commands before the start"),
  pre_stop: rejectKey("commands before the stop"),
  provider: rejectKey("services that another program provides"),
  models: rejectKey("models"),
  use_api_socket: rejectKey("handing the Docker socket on. Bind-mount /var/run/docker.sock instead"),
};

/** Every key that a service can have. */
export const SERVICE_KEYS: KeyTable<ServiceDraft> = {
  ...IMAGE_KEYS,
  ...PROCESS_KEYS,
  ...ENVIRONMENT_KEYS,
  ...LABEL_KEYS,
  ...STORAGE_KEYS,
  ...NETWORK_KEYS,
  ...PORT_KEYS,
  ...HEALTH_KEYS,
  ...SECURITY_KEYS,
  ...RESOURCE_KEYS,
  ...DEPLOY_KEYS,
  ...DEPENDENCY_KEYS,
  ...OTHER_KEYS,
};
