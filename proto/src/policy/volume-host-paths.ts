import type { VolumeMount } from "../../gen/berth/v1/spec.js";
import { bindSourceOf } from "../spec/host-access.js";

/** A host path that a volume exposes or uses, and the volume driver option that names it. */
export interface VolumeHostPath {
  readonly option: string;
  readonly path: string;
  readonly kind: "directory" | "device";
}

/** File systems whose `device` starts with `//` and names another host. */
const SHARE_TYPES = ["cifs", "smb3", "smbfs"];

/**
 * Returns the paths of the host that the options of a volume name. The local driver passes its options to mount(2), so
 * a volume can be a bind mount, a file system on a device, or an overlay of directories of the host.
 */
export function volumeHostPaths(volume: VolumeMount): readonly VolumeHostPath[] {
  const { driver, driverOpts } = volume;
  if (driver !== "" && driver !== "local") return [];
  const { type = "", device = "", o = "" } = driverOpts;
  const bound = bindSourceOf(volume);
  if (bound !== undefined) return [{ option: "device", path: bound, kind: "directory" }];
  const isShare = SHARE_TYPES.includes(type) && device.startsWith("//");
  const devicePaths = device.startsWith("/") && !isShare ? [device] : [];
  return [
    ...devicePaths.map(
      (path) => ({ option: "device", path, kind: /^\/+dev\//.test(path) ? "device" : "directory" }) as const,
    ),
    ...mountOptionPaths(o).map((path) => ({ option: "o", path, kind: "directory" }) as const),
  ];
}

/** Returns the paths in `lowerdir=/a:/b,upperdir=/c`. */
function mountOptionPaths(options: string): readonly string[] {
  return options.split(",").flatMap((option) => {
    const equals = option.indexOf("=");
    const paths = equals < 0 ? [] : option.slice(equals + 1).split(":");
    return paths.filter((path) => path.startsWith("/") && !path.startsWith("//"));
  });
}
