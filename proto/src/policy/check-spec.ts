import type { Policy } from "../../gen/berth/v1/policy.js";
import {
  type ContainerSpec,
  type DeviceRequest,
  type Mount,
  NetworkMode,
  type PortSpec,
  type TaskSpec,
} from "../../gen/berth/v1/spec.js";
import { assertNever } from "../assert-never.js";
import { GPU_CAPABILITY } from "../spec/device-requests.js";
import { comparePath, hostPathSegments } from "./host-path.js";
import { findPolicyRule, type ResolvedList, type ResolvedRule } from "./policy-rule.js";
import { allowedText, type HostFiles, RuleCheck, type RuleViolation, textProblem } from "./rule-check.js";
import { PROPAGATION_MODES, parsePortRange } from "./validate-policy.js";
import { volumeHostPaths } from "./volume-host-paths.js";

/** The parts of a spec that a policy restricts. Service specs have all of them. */
export interface PolicySubject {
  readonly stack: string;
  readonly task?: TaskSpec | undefined;
  readonly ports: readonly PortSpec[];
}

/** Files on a host with default settings. An agent adds its own settings. */
export const DEFAULT_HOST_FILES: HostFiles = {
  berth: ["/var/lib/berth", "/run/berth"],
  docker: ["/run/docker.sock", "/run/containerd", "/run/docker"],
};

/** Ports of servers, of their etcd, of WireGuard, and of VXLAN, with default settings. */
const BERTH_PORTS = [7400, 7401, 7403, 7404, 7405, 7406, 4789];

/** Capabilities that Docker gives to every container. */
const DEFAULT_CAPABILITIES = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "NET_RAW",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

/** Returns everything in a spec that the policy denies, in the order of the spec's fields. */
export function checkSpec(
  { stack, task, ports }: PolicySubject,
  policy: Policy,
  files: HostFiles = DEFAULT_HOST_FILES,
): readonly RuleViolation[] {
  const check = new RuleCheck(findPolicyRule(policy, stack), files);
  if (task?.container !== undefined) checkContainer(task.container, "task.container", check);
  ports.forEach((port, index) => {
    checkPort(port, `ports[${index}]`, check);
  });
  return check.violations;
}

function checkContainer(container: ContainerSpec, path: string, check: RuleCheck): void {
  const { rule } = check;
  if (container.privileged && !rule.privileged) check.deny(`${path}.privileged`, "privileged mode");
  container.mounts.forEach((mount, index) => {
    checkMount(mount, `${path}.mounts[${index}]`, check);
  });
  container.capAdd.forEach((name, index) => {
    const capability = capabilityName(name);
    check.report(
      `${path}.cap_add[${index}]`,
      `capability ${capability}`,
      capabilityProblem(capability, rule),
    );
  });
  container.devices.forEach(({ hostPath }, index) => {
    check.report(`${path}.devices[${index}]`, `device ${hostPath}`, pathProblem(hostPath, rule.devices));
  });
  container.deviceRequests.forEach((request, index) => {
    checkDeviceRequest(request, `${path}.device_requests[${index}]`, check);
  });
  for (const [field, hooks] of [
    ["post_start", container.postStart],
    ["pre_stop", container.preStop],
  ] as const) {
    hooks.forEach(({ privileged }, index) => {
      if (privileged && !rule.privileged) {
        check.deny(`${path}.${field}[${index}].privileged`, "a privileged hook");
      }
    });
  }
  if (container.deviceCgroupRules.length > 0 && !rule.deviceCgroupRules) {
    check.deny(`${path}.device_cgroup_rules`, "access to classes of devices");
  }
  for (const name of Object.keys(container.sysctls)) {
    check.report(`${path}.sysctls.${name}`, `sysctl ${name}`, sysctlProblem(name, rule.sysctls));
  }
  const { name: logDriver = "" } = container.logDriver ?? {};
  check.againstList("logDrivers", `${path}.log_driver`, {
    subject: `log driver ${logDriver}`,
    value: logDriver,
  });
  container.securityOpt.forEach((option, index) => {
    const value = securityOption(option);
    check.againstList("securityOptions", `${path}.security_opt[${index}]`, {
      subject: `security option ${value}`,
      value,
    });
  });
  checkNamespaces(container, path, check);
  const { cgroupParent, runtime } = container;
  if (cgroupParent !== "") {
    const problem = pathProblem(cgroupParent.replace(/^\/*/, "/"), rule.cgroupParents);
    check.report(`${path}.cgroup_parent`, `cgroup parent ${cgroupParent}`, problem);
  }
  check.againstList("runtimes", `${path}.runtime`, { subject: `runtime ${runtime}`, value: runtime });
}

/**
 * Checks the devices that a driver adds to the container. They have no path, so policies call them
 * `/dev/DRIVER/DEVICE`.
 */
function checkDeviceRequest(request: DeviceRequest, path: string, check: RuleCheck): void {
  const { deviceIds } = request;
  for (const kind of deviceKinds(request)) {
    for (const device of deviceIds.length > 0 ? deviceIds : ["all"]) {
      const name = `/dev/${kind}/${device}`;
      check.report(path, `device ${name}`, pathProblem(name, check.rule.devices));
    }
  }
}

/** Returns the names under which policies know the drivers of a request. Any driver for GPUs counts as "gpu". */
function deviceKinds({ driver, capabilities }: DeviceRequest): readonly string[] {
  const isGpu = capabilities.includes(GPU_CAPABILITY);
  if (driver !== "") return isGpu ? [driver, GPU_CAPABILITY] : [driver];
  return isGpu ? [GPU_CAPABILITY] : capabilities;
}

function checkNamespaces(container: ContainerSpec, path: string, check: RuleCheck): void {
  const { networkMode, pidMode, ipcMode, utsMode, usernsMode, cgroupnsMode } = container;
  const modes = [
    ["network", "network_mode", networkMode === NetworkMode.HOST ? "host" : ""],
    ["pid", "pid_mode", pidMode],
    ["ipc", "ipc_mode", ipcMode],
    ["uts", "uts_mode", utsMode],
    ["user", "userns_mode", usernsMode],
    ["cgroup", "cgroupns_mode", cgroupnsMode],
  ] as const;
  for (const [namespace, field, mode] of modes) {
    // The validation of specs rejects `container:ID`, but a spec that reaches an agent may not have been validated.
    const isShared = mode === "host" || mode.includes(":");
    if (!isShared) continue;
    const description =
      mode === "host" ? `the host's ${namespace} namespace` : `${namespace} namespace ${mode}`;
    check.againstList("namespaces", `${path}.${field}`, { subject: description, value: namespace });
  }
}

function checkMount({ kind, readOnly }: Mount, path: string, check: RuleCheck): void {
  switch (kind?.$case) {
    case "bind": {
      const { source, propagation } = kind.value;
      checkHostPath(source, `${path}.bind.source`, { check, subject: "bind mount of", readOnly });
      const problem = propagationProblem(propagation, check.rule.propagation);
      check.report(`${path}.bind.propagation`, `propagation ${propagation}`, problem);
      return;
    }
    case "volume": {
      const { driver, driverOpts } = kind.value;
      check.againstList("volumeDrivers", `${path}.volume.driver`, {
        subject: `volume driver ${driver}`,
        value: driver,
      });
      for (const [name, option] of Object.entries(driverOpts)) {
        const value = `${name}=${option}`;
        check.againstList("volumeOptions", `${path}.volume.driver_opts.${name}`, {
          subject: `volume option ${value}`,
          value,
        });
      }
      for (const { option, path: source, kind: type } of volumeHostPaths(kind.value)) {
        const optionPath = `${path}.volume.driver_opts.${option}`;
        if (type === "device") {
          check.report(optionPath, `device ${source}`, pathProblem(source, check.rule.devices));
        } else {
          checkHostPath(source, optionPath, { check, subject: "volume that shows", readOnly });
        }
      }
      return;
    }
    // A tmpfs has no source. An image and the copy of a shipped directory are not parts of the host.
    case "tmpfs":
    case "image":
    case "shipped":
    case undefined:
      return;
    default:
      assertNever(kind);
  }
}

interface PathUse {
  readonly check: RuleCheck;
  readonly subject: string;
  readonly readOnly: boolean;
}

/** Checks a directory of the host that a container can use. */
function checkHostPath(source: string, path: string, { check, subject, readOnly }: PathUse): void {
  const { rule, files } = check;
  const problem =
    pathProblem(source, rule.binds, { readOnly }) ??
    (rule.berthAccess ? undefined : ownerProblem(source, files.berth, "berth")) ??
    (rule.dockerSocket ? undefined : ownerProblem(source, files.docker, "Docker"));
  check.report(path, `${subject} ${source}`, problem);
}

function ownerProblem(source: string, owned: readonly string[], owner: string): string | undefined {
  for (const path of owned) {
    const relation = comparePath(hostPathSegments(path) ?? [], hostPathSegments(source) ?? [], {
      templates: true,
    });
    if (relation === "inside") return `${path} belongs to ${owner}`;
    if (relation === "contains") return `it contains ${path}, which belongs to ${owner}`;
  }
  return undefined;
}

/** Returns why the lists deny a path: a path is denied with everything below it, and with the directories above it. */
function pathProblem(
  text: string,
  { allow, deny }: ResolvedList,
  { readOnly = false }: { readonly readOnly?: boolean } = {},
): string | undefined {
  const path = hostPathSegments(text);
  if (path === undefined) return "must be an absolute path without ..";
  for (const pattern of deny) {
    const relation = comparePath(hostPathSegments(pattern) ?? [], path, { templates: true });
    if (relation === "inside") return `${pattern} is denied`;
    if (relation === "contains") return `it contains ${pattern}, which is denied`;
  }
  let isWritableDenied = false;
  for (const entry of allow) {
    const isReadOnlyEntry = entry.endsWith(":ro");
    const pattern = hostPathSegments(isReadOnlyEntry ? entry.slice(0, -":ro".length) : entry) ?? [];
    if (comparePath(pattern, path, { templates: false }) !== "inside") continue;
    if (!isReadOnlyEntry || readOnly) return undefined;
    isWritableDenied = true;
  }
  return isWritableDenied ? "it must be read-only" : allowedText(allow);
}

function propagationProblem(propagation: string, list: ResolvedList): string | undefined {
  if (propagation === "") return undefined;
  if (!PROPAGATION_MODES.includes(propagation)) return `use ${PROPAGATION_MODES.join(", ")}`;
  return textProblem(propagation, list);
}

function capabilityProblem(capability: string, { capabilities }: ResolvedRule): string | undefined {
  const { allow, deny } = capabilities;
  if (capability === "ALL") {
    if (deny.length > 0) return `it includes ${deny.join(", ")}`;
    return allow.some((entry) => entry === "*" || capabilityName(entry) === "ALL")
      ? undefined
      : allowedText(allow);
  }
  const normalized = { allow: [...allow.map(capabilityName)], deny: deny.map(capabilityName) };
  if (normalized.allow.includes("ALL")) normalized.allow.push("*");
  return textProblem(
    capability,
    { ...normalized, allow: [...normalized.allow, ...DEFAULT_CAPABILITIES] },
    allow,
  );
}

function capabilityName(text: string): string {
  return text.toUpperCase().replace(/^CAP_/, "");
}

/** Returns `seccomp=unconfined` for `seccomp:unconfined`, as Docker reads it. */
function securityOption(option: string): string {
  if (option === "disable") return "label=disable";
  if (option === "no-new-privileges") return "no-new-privileges=true";
  return option.includes("=") ? option : option.replace(":", "=");
}

function sysctlProblem(text: string, { allow, deny }: ResolvedList): string | undefined {
  const isRestricted = deny.length > 0 || !allow.includes("*");
  // The runtime turns the name into a path below /proc/sys, in which `..` leads elsewhere.
  if (isRestricted && text.split(/[./]/).includes("")) return "its name is ambiguous";
  return textProblem(sysctlName(text), { allow: allow.map(sysctlName), deny: deny.map(sysctlName) }, allow);
}

/** Returns a name with dots. With a slash as its first separator, the kernel's tools swap slashes and dots. */
function sysctlName(text: string): string {
  const separator = /[./]/.exec(text)?.[0];
  if (separator !== "/") return text;
  return text.replace(/[./]/g, (character) => (character === "/" ? "." : "/"));
}

function checkPort({ published }: PortSpec, path: string, check: RuleCheck): void {
  const { rule } = check;
  if (published === 0) return;
  const isIn = (range: string): boolean => {
    const [first, last] = parsePortRange(range) ?? [0, 0];
    return published >= first && published <= last;
  };
  const { allow, deny } = rule.ports;
  const denied = deny.find(isIn);
  let problem: string | undefined;
  if (denied !== undefined) {
    problem = `${denied} is denied`;
  } else if (!allow.some(isIn)) {
    problem = allowedText(allow);
  } else if (!rule.berthAccess && BERTH_PORTS.includes(published)) {
    problem = "berth itself uses it";
  }
  check.report(path, `published port ${published}`, problem);
}
