import { assertNever, BindMount, type Mount, type TmpfsMount, type VolumeMount } from "@berth/proto";
import type { MountBody } from "../docker/create-body.js";

/** Mounts in the two forms of Docker's Engine API. */
export interface MountConfig {
  /** `source:target:options`: the only form in which older daemons create a missing directory on the host. */
  readonly binds: readonly string[];
  readonly mounts: readonly MountBody[];
  /** Mount options of tmpfs by target: the only form in which older daemons accept all options. */
  readonly tmpfs: Readonly<Record<string, string>>;
}

type MountForm =
  | { readonly kind: "bind"; readonly bind: string }
  | { readonly kind: "mount"; readonly mount: MountBody }
  | { readonly kind: "tmpfs"; readonly target: string; readonly options: string };

type ExpandPlaceholders = (text: string) => string;

/**
 * Maps mounts to the Engine API.
 *
 * @param expandPlaceholders replaces the placeholders in sources, targets and labels
 * @param copyPathOf returns the path of a shipped mount's copy, by the mount's index
 */
export function mountConfig(
  mounts: readonly Mount[],
  expandPlaceholders: ExpandPlaceholders,
  copyPathOf: (index: number) => string,
): MountConfig {
  const forms = mounts.map((mount, index) => mountForm(mount, expandPlaceholders, () => copyPathOf(index)));
  return {
    binds: forms.flatMap((form) => (form.kind === "bind" ? [form.bind] : [])),
    mounts: forms.flatMap((form) => (form.kind === "mount" ? [form.mount] : [])),
    tmpfs: Object.fromEntries(
      forms.flatMap((form) => (form.kind === "tmpfs" ? [[form.target, form.options] as const] : [])),
    ),
  };
}

function mountForm(
  mount: Mount,
  expandPlaceholders: ExpandPlaceholders,
  copyPathOf: () => string,
): MountForm {
  const target = expandPlaceholders(mount.target);
  if (mount.kind?.$case === "tmpfs" && mount.kind.value.options.length > 0) {
    return { kind: "tmpfs", target, options: tmpfsOptions(mount.kind.value, mount.readOnly) };
  }
  const body = mountBody({ ...mount, target }, expandPlaceholders, copyPathOf);
  return typeof body === "string" ? { kind: "bind", bind: body } : { kind: "mount", mount: body };
}

/** Returns options as mount(8) takes them: `ro,uid=1000,size=1048576,mode=1777`. */
function tmpfsOptions({ sizeBytes, mode, options }: TmpfsMount, readOnly: boolean): string {
  return [
    ...(readOnly ? ["ro"] : []),
    ...options,
    ...(sizeBytes > 0 ? [`size=${sizeBytes}`] : []),
    ...(mode > 0 ? [`mode=${mode.toString(8)}`] : []),
  ].join(",");
}

function mountBody(
  { kind, target, readOnly }: Mount,
  expandPlaceholders: ExpandPlaceholders,
  copyPathOf: () => string,
): string | MountBody {
  const common = { Target: target, ReadOnly: readOnly };
  switch (kind?.$case) {
    case "bind":
      return bindBody(kind.value, { ...common, Source: expandPlaceholders(kind.value.source) });
    case "shipped": {
      const { selinux } = kind.value;
      return bindBody(BindMount.fromPartial({ selinux }), { ...common, Source: copyPathOf() });
    }
    case "volume":
      return {
        Type: "volume",
        ...common,
        Source: expandPlaceholders(kind.value.name),
        VolumeOptions: volumeOptions(kind.value, expandPlaceholders),
      };
    case "tmpfs": {
      const { sizeBytes, mode } = kind.value;
      const options = {
        ...(sizeBytes > 0 ? { SizeBytes: sizeBytes } : {}),
        ...(mode > 0 ? { Mode: mode } : {}),
      };
      return { Type: "tmpfs", ...common, TmpfsOptions: options };
    }
    case "image": {
      const { image, subpath } = kind.value;
      return {
        Type: "image",
        ...common,
        Source: image,
        ...(subpath === "" ? {} : { ImageOptions: { Subpath: subpath } }),
      };
    }
    case undefined:
      return { Type: "volume", ...common };
    default:
      return assertNever(kind);
  }
}

function bindBody(
  bind: BindMount,
  common: Required<Pick<MountBody, "Source" | "Target" | "ReadOnly">>,
): string | MountBody {
  const hasNoColon = !`${common.Source}${common.Target}`.includes(":");
  const recursive = recursiveOptions(bind);
  // Only this form can set an SELinux label, and only the other form has the recursive option. `selinuxMountProblem`
  // rejects mounts that need both.
  if ((bind.createHostPath || bind.selinux !== "") && hasNoColon && recursive === undefined) {
    const options = [common.ReadOnly ? "ro" : "rw", bind.propagation, bind.selinux].filter(
      (option) => option !== "",
    );
    return `${common.Source}:${common.Target}:${options.join(",")}`;
  }
  const options = {
    ...(bind.propagation === "" ? {} : { Propagation: bind.propagation }),
    ...(bind.createHostPath ? { CreateMountpoint: true } : {}),
    ...recursive,
  };
  return { Type: "bind", ...common, BindOptions: options };
}

/** Returns what happens to mounts below a bind mount, or undefined for Docker's default. */
function recursiveOptions({ recursive }: BindMount): MountBody["BindOptions"] {
  switch (recursive) {
    case "disabled":
      return { NonRecursive: true };
    case "writable":
      return { ReadOnlyNonRecursive: true };
    case "readonly":
      return { ReadOnlyForceRecursive: true };
    default:
      return undefined;
  }
}

function volumeOptions(
  volume: VolumeMount,
  expandPlaceholders: ExpandPlaceholders,
): NonNullable<MountBody["VolumeOptions"]> {
  const { driver, driverOpts, labels, subpath } = volume;
  const labelEntries = Object.entries(labels).map(
    ([key, value]) => [key, expandPlaceholders(value)] as const,
  );
  return {
    NoCopy: volume.noCopy,
    Labels: Object.fromEntries(labelEntries),
    ...(driver === "" ? {} : { DriverConfig: { Name: driver, Options: driverOpts } }),
    ...(subpath === "" ? {} : { Subpath: expandPlaceholders(subpath) }),
  };
}
