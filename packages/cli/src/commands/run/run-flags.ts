import type { CreateOption } from "../service/create/create-flags.js";
import { UPDATE_FLAGS, type UpdateFlag, type UpdateFlagName } from "../service/update/flags.js";

/** Docker names of the `berth service update` flags that `berth run` supports. */
const DOCKER_RUN_NAMES: Readonly<Partial<Record<UpdateFlagName, readonly [name: string, short?: string]>>> = {
  entrypoint: ["entrypoint"],
  user: ["user", "u"],
  workdir: ["workdir", "w"],
  hostname: ["hostname", "h"],
  "stop-signal": ["stop-signal"],
  "stop-grace-period": ["stop-timeout"],
  init: ["init"],
  "read-only": ["read-only"],
  "env-add": ["env", "e"],
  "container-label-add": ["label", "l"],
  "mount-add": ["mount"],
  "secret-add": ["secret"],
  "config-add": ["config"],
  "constraint-add": ["constraint"],
  "limit-cpu": ["cpus"],
  "limit-memory": ["memory", "m"],
  "limit-pids": ["pids-limit"],
  "reserve-memory": ["memory-reservation"],
  "generic-resource-add": ["generic-resource"],
  "log-driver": ["log-driver"],
  "log-opt": ["log-opt"],
  "network-add": ["network"],
  "health-cmd": ["health-cmd"],
  "health-interval": ["health-interval"],
  "health-timeout": ["health-timeout"],
  "health-retries": ["health-retries"],
  "health-start-period": ["health-start-period"],
  "health-start-interval": ["health-start-interval"],
  "no-healthcheck": ["no-healthcheck"],
  "oom-score-adj": ["oom-score-adj"],
  "cap-add": ["cap-add"],
  "cap-drop": ["cap-drop"],
  "sysctl-add": ["sysctl"],
  "ulimit-add": ["ulimit"],
  "group-add": ["group-add"],
  "dns-add": ["dns"],
  "dns-search-add": ["dns-search"],
  "dns-option-add": ["dns-option"],
  "host-add": ["add-host"],
};

/** Options of `berth run` that set fields of the spec, with the names of `docker run`. */
export const RUN_OPTIONS: readonly CreateOption[] = Object.entries(DOCKER_RUN_NAMES).map(
  ([flag, [name, short]]) => {
    const update = flag as UpdateFlagName;
    const definition: UpdateFlag = UPDATE_FLAGS[update];
    const description = definition.description.replace(/^add (?:or update )?(?:a|an) /, "");
    return { ...definition, description, name, short, flag: update };
  },
);
