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
 * @param expandPlaceholders replaces the placeholders in sources, targets, subpaths of volumes, and labels
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
  { kind, target: unexpandedTarget, readOnly }: Mount,
  expandPlaceholders: ExpandPlaceholders,
  copyPathOf: () => string,
): MountForm {
  const common = { Target: expandPlaceholders(unexpandedTarget), ReadOnly: readOnly };
  switch (kind?.$case) {
    case "bind":
      return bindForm(kind.value, { ...common, Source: expandPlaceholders(kind.value.source) });
    case "shipped": {
      const { selinux } = kind.value;
      return bindForm(BindMount.fromPartial({ selinux }), { ...common, Source: copyPathOf() });
    }
    case "tmpfs":
      return tmpfsForm(kind.value, common);
    case "volume": {
      const source = expandPlaceholders(kind.value.name);
      const options = volumeOptions(kind.value, expandPlaceholders);
      return {
        kind: "mount",
        mount: { Type: "volume", ...common, Source: source, VolumeOptions: options },
      };
    }
    case "image": {
      const { image, subpath } = kind.value;
      const options = subpath === "" ? {} : { ImageOptions: { Subpath: subpath } };
      return { kind: "mount", mount: { Type: "image", ...common, Source: image, ...options } };
    }
    case undefined:
      // An anonymous volume.
      return { kind: "mount", mount: { Type: "volume", ...common } };
    default:
      return assertNever(kind);
  }
}

function tmpfsForm(tmpfs: TmpfsMount, common: Required<Pick<MountBody, "Target" | "ReadOnly">>): MountForm {
  const { sizeBytes, mode, options } = tmpfs;
  if (options.length > 0) {
    return { kind: "tmpfs", target: common.Target, options: tmpfsOptions(tmpfs, common.ReadOnly) };
  }
  const bodyOptions = {
    ...(sizeBytes > 0 ? { SizeBytes: sizeBytes } : {}),
    ...(mode > 0 ? { Mode: mode } : {}),
  };
  return { kind: "mount", mount: { Type: "tmpfs", ...common, TmpfsOptions: bodyOptions } };
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

function bindForm(
  bind: BindMount,
  common: Required<Pick<MountBody, "Source" | "Target" | "ReadOnly">>,
): MountForm {
  const hasColon = `${common.Source}${common.Target}`.includes(":");
  const recursive = recursiveOptions(bind);
  // Only this form can set an SELinux label, and only the other form has the recursive option. `selinuxMountProblem`
  // rejects mounts that need both.
  if ((bind.createHostPath || bind.selinux !== "") && !hasColon && recursive === undefined) {
    const options = [common.ReadOnly ? "ro" : "rw", bind.propagation, bind.selinux].filter(
      (option) => option !== "",
    );
    return { kind: "bind", bind: `${common.Source}:${common.Target}:${options.join(",")}` };
  }
  const options = {
    ...(bind.propagation === "" ? {} : { Propagation: bind.propagation }),
    ...(bind.createHostPath ? { CreateMountpoint: true } : {}),
    ...recursive,
  };
  return { kind: "mount", mount: { Type: "bind", ...common, BindOptions: options } };
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
