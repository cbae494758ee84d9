import type { KeyDocumentation } from "./shapes/value-schema.js";

type SwarmSupport = Pick<KeyDocumentation, "swarm">;

/** Support of a key with which `docker stack deploy` rejects the file. */
export const REJECTED_BY_SWARM: SwarmSupport = { swarm: "rejects the file" };
/** Support of a key that `docker stack deploy` ignores with a warning. */
export const IGNORED_BY_SWARM: SwarmSupport = { swarm: "ignores it with a warning" };
/** Support of a key that `docker stack deploy` ignores without a warning. */
export const DROPPED_BY_SWARM: SwarmSupport = { swarm: "ignores it silently" };
