import { assertNever, type BindMount, type Mount, type VolumeMount } from "@berth/proto";
import type { MountBody } from "../docker/create-body.js";

/** Mounts in the two forms of Docker's Engine API. */
export interface MountConfig {
  /** `source:target:options`: the only form in which older daemons create a missing directory on the host. */
  readonly binds: readonly string[];
  readonly mounts: readonly MountBody[];
}

type Fill = (text: string) => string;

/** Maps mounts to the Engine API. `fill` expands placeholders in sources. */
export function mountConfig(mounts: readonly Mount[], fill: Fill): MountConfig {
  const bodies = mounts.map((mount) => mountBody(mount, fill));
  return {
    binds: bodies.filter((body) => typeof body === "string"),
    mounts: bodies.filter((body) => typeof body !== "string"),
  };
}

function mountBody({ kind, target, readOnly }: Mount, fill: Fill): string | MountBody {
  const common = { Target: target, ReadOnly: readOnly };
  switch (kind?.$case) {
    case "bind":
      return bindBody(kind.value, { ...common, Source: fill(kind.value.source) });
    case "volume":
      return {
        Type: "volume",
        ...common,
        Source: fill(kind.value.name),
        VolumeOptions: volumeOptions(kind.value),
      };
    case "tmpfs": {
      const { sizeBytes, mode } = kind.value;
      const options = {
        ...(sizeBytes > 0 ? { SizeBytes: sizeBytes } : {}),
        ...(mode > 0 ? { Mode: mode } : {}),
      };
      return { Type: "tmpfs", ...common, TmpfsOptions: options };
    }
    case undefined:
      return { Type: "volume", ...common };
    default:
      return assertNever(kind);
  }
}

function bindBody(
  bind: BindMount,
  common: { Source: string; Target: string; ReadOnly: boolean },
): string | MountBody {
  const hasNoColon = !`${common.Source}${common.Target}`.includes(":");
  // Only this form can set an SELinux label.
  if ((bind.createHostPath || bind.selinux !== "") && hasNoColon) {
    const options = [common.ReadOnly ? "ro" : "rw", bind.propagation, bind.selinux].filter(
      (option) => option !== "",
    );
    return `${common.Source}:${common.Target}:${options.join(",")}`;
  }
  const options = {
    ...(bind.propagation === "" ? {} : { Propagation: bind.propagation }),
    ...(bind.createHostPath ? { CreateMountpoint: true } : {}),
  };
  return { Type: "bind", ...common, BindOptions: options };
}

function volumeOptions(volume: VolumeMount): NonNullable<MountBody["VolumeOptions"]> {
  return {
    NoCopy: volume.noCopy,
    Labels: volume.labels,
    ...(volume.driver === "" ? {} : { DriverConfig: { Name: volume.driver, Options: volume.driverOpts } }),
  };
}
