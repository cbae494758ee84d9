import type { Target } from "../engine/target.js";
import { BACKUP_TARGETS } from "./backups.js";
import { CERTIFICATE_TARGETS } from "./certificates.js";
import { COMPOSE_TARGETS } from "./compose.js";
import { DNS_TARGETS } from "./dns.js";
import { DOCKER_TARGETS } from "./docker.js";
import { HOST_TARGETS } from "./host.js";
import { IMAGE_TARGETS } from "./images.js";
import { INGRESS_TARGETS } from "./ingress.js";
import { MESSAGE_TARGETS } from "./messages.js";
import { OPTION_TARGETS } from "./options.js";
import { PAGE_TARGETS } from "./page.js";
import { RECORD_TARGETS } from "./records.js";
import { SPEC_TEXT_TARGETS } from "./spec-texts.js";
import { STATE_FILE_TARGETS } from "./state-files.js";
import { WEB_TARGETS } from "./web.js";

/** The targets in this directory, by file name. */
const TARGETS_BY_FILE: Readonly<Record<string, readonly Target[]>> = {
  dns: DNS_TARGETS,
  ingress: INGRESS_TARGETS,
  docker: DOCKER_TARGETS,
  images: IMAGE_TARGETS,
  host: HOST_TARGETS,
  "state-files": STATE_FILE_TARGETS,
  records: RECORD_TARGETS,
  certificates: CERTIFICATE_TARGETS,
  backups: BACKUP_TARGETS,
  messages: MESSAGE_TARGETS,
  "spec-texts": SPEC_TEXT_TARGETS,
  compose: COMPOSE_TARGETS,
  options: OPTION_TARGETS,
  page: PAGE_TARGETS,
  web: WEB_TARGETS,
};

/** All targets. A table in the README lists them with the files of their parsers. */
export const TARGETS: readonly Target[] = Object.values(TARGETS_BY_FILE).flat();

/**
 * Returns the URL of the module that exports a target.
 *
 * @throws RangeError if there is no such target
 */
export function fileOf({ name }: Target): URL {
  const found = Object.entries(TARGETS_BY_FILE).find(([, targets]) =>
    targets.some((each) => each.name === name),
  );
  if (found === undefined) throw new RangeError(`unknown target ${name}`);
  return new URL(`${found[0]}.js`, import.meta.url);
}
