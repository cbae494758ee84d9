import type { NodeDescription, ServiceSpec } from "@berth/proto";

/** A part of specs that agents of older releases ignore. */
interface Feature {
  /** The first version of the protocol whose agents know it. */
  readonly since: number;
  readonly isUsed: (spec: ServiceSpec) => boolean;
}

/** Features that all supported releases know need no entry. */
const FEATURES: readonly Feature[] = [
  // Secrets as environment variables.
  { since: 2, isUsed: ({ task }) => task?.container?.files.some(({ env }) => env !== "") === true },
  // Containers that wait for a client.
  { since: 2, isUsed: ({ task }) => task?.container?.waitForAttach === true },
  // SELinux labels of bind mounts.
  {
    since: 2,
    isUsed: ({ task }) =>
      task?.container?.mounts.some(({ kind }) => kind?.$case === "bind" && kind.value.selinux !== "") ===
      true,
  },
];

/** Returns the version of the protocol that an agent must speak to run the tasks of a spec. */
export function requiredProtocol(spec: ServiceSpec): number {
  return Math.max(1, ...FEATURES.filter(({ isUsed }) => isUsed(spec)).map(({ since }) => since));
}

/** Returns the newest version of the protocol that the agent of a node speaks. */
export function agentProtocol(description: NodeDescription | undefined): number {
  return description?.protocolVersion || 1;
}
