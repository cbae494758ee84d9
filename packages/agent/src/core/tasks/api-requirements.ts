import {
  type AssignedSpec,
  type ContainerSpec,
  compareVersions,
  type NetworkAttachment,
  selinuxMountProblem,
} from "@berth/proto";

/** A part of a spec that daemons with an older API ignore without an error. */
interface ApiRequirement {
  readonly field: string;
  /** The first API version that has the field. */
  readonly since: string;
  readonly isUsed: (container: ContainerSpec, networks: readonly NetworkAttachment[]) => boolean;
}

const API_REQUIREMENTS: readonly ApiRequirement[] = [
  {
    field: "annotations",
    since: "1.43",
    isUsed: (container) => Object.keys(container.annotations).length > 0,
  },
  {
    field: "mac_address",
    since: "1.44",
    isUsed: (_, networks) => networks.some(({ macAddress }) => macAddress !== ""),
  },
  {
    field: "interface_name",
    since: "1.48",
    isUsed: (_, networks) => networks.some(({ interfaceName }) => interfaceName !== ""),
  },
  {
    field: "a subpath of a volume",
    since: "1.45",
    isUsed: ({ mounts }) => mounts.some(({ kind }) => kind?.$case === "volume" && kind.value.subpath !== ""),
  },
  {
    field: "a mount of an image",
    since: "1.48",
    isUsed: ({ mounts }) => mounts.some(({ kind }) => kind?.$case === "image"),
  },
  {
    field: "the recursive option of a bind mount",
    since: "1.44",
    isUsed: ({ mounts }) =>
      mounts.some(
        ({ kind }) => kind?.$case === "bind" && ["writable", "readonly"].includes(kind.value.recursive),
      ),
  },
];

/** Returns why this node's Docker cannot run the spec as written, or undefined if it can. */
export function unsupportedReason(spec: AssignedSpec, apiVersion: string): string | undefined {
  if (spec.task === undefined) {
    return `version ${spec.version} of the service is unreadable in the store; deploy it again`;
  }
  const { container, networks } = spec.task;
  if (container === undefined) return "the service's spec has no container";
  for (const mount of container.mounts) {
    const problem = selinuxMountProblem(mount);
    if (problem !== undefined) return `mount ${mount.target}: ${problem}`;
  }
  const unmet = API_REQUIREMENTS.filter(
    ({ isUsed, since }) => isUsed(container, networks) && compareVersions(apiVersion, since) < 0,
  );
  if (unmet.length === 0) return undefined;
  const fields = unmet.map(({ field, since }) => `${field} requires Docker API ${since}`).join(", ");
  return `${fields}; Docker on this node supports API ${apiVersion}`;
}
