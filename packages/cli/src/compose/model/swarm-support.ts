import type { KeyDocumentation } from "./shapes/value-schema.js";

type SwarmSupport = Pick<KeyDocumentation, "swarm">;

/** `docker stack deploy` rejects files with the key. */
export const REJECTED_BY_SWARM: SwarmSupport = { swarm: "rejects the file" };
/** `docker stack deploy` ignores the key and prints a warning. */
export const IGNORED_BY_SWARM: SwarmSupport = { swarm: "ignores it with a warning" };
/** `docker stack deploy` ignores the key without a word. */
export const DROPPED_BY_SWARM: SwarmSupport = { swarm: "ignores it silently" };
