import { expect, test } from "vitest";
import { type ContainerSpec, Mount, ServiceSpec, VolumeMount } from "../../gen/berth/v1/spec.js";
import { bindSourceOf } from "./host-access.js";
import { validateServiceSpec } from "./validate-service-spec.js";

function violationsOf(container: Partial<ContainerSpec>): readonly string[] {
  const spec = ServiceSpec.fromPartial({
    name: "shop_web",
    stack: "shop",
    task: { container: { image: "nginx", ...container } },
    mode: { $case: "replicated", value: { replicas: 1 } },
  });
  return validateServiceSpec(spec).map(({ path, message }) => `${path}: ${message}`);
}

const volume = (driverOpts: Record<string, string>, driver = ""): VolumeMount =>
  VolumeMount.fromPartial({ name: "shop_data", driver, driverOpts });

test("validateServiceSpec rejects the namespaces of other containers", () => {
  expect(violationsOf({ pidMode: "container:4f5e", ipcMode: "service:db" })).toEqual([
    "task.container.pid_mode: the mode cannot name another container; set sharing.pid to a service of the stack, use host, or leave it empty",
    "task.container.ipc_mode: the mode cannot name another container; set sharing.ipc to a service of the stack, use one of host, private, shareable and none, or leave it empty",
  ]);
  for (const field of ["utsMode", "usernsMode", "cgroupnsMode"] as const) {
    expect(violationsOf({ [field]: "container:4f5e" })).toHaveLength(1);
  }
});

test("validateServiceSpec rejects unknown namespace modes and accepts those of Docker", () => {
  expect(violationsOf({ pidMode: "hots" })).toEqual([
    'task.container.pid_mode: "hots" is not a pid mode; use host, or leave it empty',
  ]);
  const all = { pidMode: "host", ipcMode: "shareable", utsMode: "host", usernsMode: "host" };
  expect(violationsOf({ ...all, cgroupnsMode: "private" })).toEqual([]);
});

test("validateServiceSpec applies the rules of bind mounts to a volume that is one", () => {
  const mountsOf = (driverOpts: Record<string, string>): readonly string[] => {
    const kind = { $case: "volume", value: volume(driverOpts) } as const;
    return violationsOf({ mounts: [Mount.fromPartial({ target: "/data", kind })] });
  };
  expect(mountsOf({ type: "none", o: "bind", device: "../../etc" })).toEqual([
    'task.container.mounts[0].volume.driver_opts.device: "../../etc" is not an absolute path on the node',
  ]);
  expect(mountsOf({ type: "none", o: "rw,rbind" })).toHaveLength(1);
  expect(mountsOf({ type: "none", o: "bind", device: "/srv/data" })).toEqual([]);
  expect(mountsOf({ type: "nfs", o: "addr=10.0.0.9,rw", device: ":/export" })).toEqual([]);
});

test("bindSourceOf returns the directory on the node that a volume of the local driver binds", () => {
  expect(bindSourceOf(volume({ type: "none", o: "ro, bind", device: "/" }, "local"))).toBe("/");
  expect(bindSourceOf(volume({ o: "bind", device: "/" }, "plugin"))).toBeUndefined();
  expect(bindSourceOf(volume({ type: "tmpfs", o: "size=10m", device: "tmpfs" }))).toBeUndefined();
  expect(bindSourceOf(volume({}))).toBeUndefined();
});
