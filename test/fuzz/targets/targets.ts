import type { Target } from "../engine/target.js";
import { COMPOSE_TARGETS } from "./compose.js";
import { DNS_TARGETS } from "./dns.js";
import { DOCKER_TARGETS } from "./docker.js";
import { HOST_TARGETS } from "./host.js";
import { INGRESS_TARGETS } from "./ingress.js";
import { MESSAGE_TARGETS } from "./messages.js";
import { OPTION_TARGETS } from "./options.js";
import { RECORD_TARGETS } from "./records.js";
import { SPEC_TEXT_TARGETS } from "./spec-texts.js";
import { STATE_FILE_TARGETS } from "./state-files.js";

/** All targets. The README has a table of them with the files of their parsers. */
export const TARGETS: readonly Target[] = [
  ...DNS_TARGETS,
  ...INGRESS_TARGETS,
  ...DOCKER_TARGETS,
  ...HOST_TARGETS,
  ...STATE_FILE_TARGETS,
  ...RECORD_TARGETS,
  ...MESSAGE_TARGETS,
  ...SPEC_TEXT_TARGETS,
  ...COMPOSE_TARGETS,
  ...OPTION_TARGETS,
];
