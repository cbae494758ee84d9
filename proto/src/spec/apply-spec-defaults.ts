import {
  ContainerSpec,
  type CronSpec,
  CronSpec_Concurrency,
  EndpointMode,
  type FileMount,
  NetworkMode,
  Placement,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  PullPolicy,
  Resources,
  RestartPolicy,
  RestartPolicy_Condition,
  type ServiceSpec,
  type TaskSpec,
  UpdateConfig,
} from "../../gen/berth/v1/spec.js";
import { DEFAULT_FILE_MODE } from "./files.js";

/** Docker's default for the time between the stop signal and SIGKILL. */
export const DEFAULT_STOP_GRACE_MS = 10_000;
const DEFAULT_REPLICAS = 1;
const DEFAULT_UPDATE_PARALLELISM = 1;
/** Number of ended runs that a cron job keeps by default. */
export const DEFAULT_CRON_HISTORY = 3;

/**
 * Returns a copy of the spec in which unset fields have their defaults. The CLI and the leader call it before they
 * validate, compare or store a spec. Specs with the same meaning become equal. Idempotent.
 */
export function applySpecDefaults(spec: ServiceSpec): ServiceSpec {
  return {
    ...spec,
    task: withTaskDefaults(spec),
    mode: spec.mode ?? { $case: "replicated", value: { replicas: DEFAULT_REPLICAS } },
    placement: spec.placement ?? Placement.fromPartial({}),
    update: withUpdateDefaults(spec.update),
    ports: spec.ports.map(withPortDefaults),
    endpointMode: spec.endpointMode || EndpointMode.VIP,
    ...(spec.cron === undefined ? {} : { cron: withCronDefaults(spec.cron) }),
  };
}

function withTaskDefaults({ task, mode }: ServiceSpec): TaskSpec {
  const isJob = mode?.$case === "replicatedJob" || mode?.$case === "globalJob";
  return {
    container: withContainerDefaults(task?.container ?? ContainerSpec.fromPartial({})),
    limits: task?.limits ?? Resources.fromPartial({}),
    reservations: task?.reservations ?? Resources.fromPartial({}),
    restart: withRestartDefaults(task?.restart, isJob),
    forceUpdate: task?.forceUpdate ?? 0,
    networks: task?.networks ?? [],
  };
}

function withContainerDefaults(container: ContainerSpec): ContainerSpec {
  return {
    ...container,
    stopGraceMs: container.stopGraceMs ?? DEFAULT_STOP_GRACE_MS,
    networkMode: container.networkMode || NetworkMode.BRIDGE,
    pullPolicy: container.pullPolicy || PullPolicy.MISSING,
    files: container.files.map(withFileDefaults),
  };
}

function withFileDefaults(file: FileMount): FileMount {
  if (file.env !== "") return file;
  return { ...file, uid: file.uid || "0", gid: file.gid || "0", mode: file.mode ?? DEFAULT_FILE_MODE };
}

function withRestartDefaults(restart: RestartPolicy | undefined, isJob: boolean): RestartPolicy {
  const policy = restart ?? RestartPolicy.fromPartial({});
  const { ANY, ON_FAILURE } = RestartPolicy_Condition;
  return { ...policy, condition: policy.condition || (isJob ? ON_FAILURE : ANY) };
}

/** Runs of a cron job do not overlap unless its spec allows it. */
function withCronDefaults(cron: CronSpec): CronSpec {
  return {
    ...cron,
    concurrency: cron.concurrency || CronSpec_Concurrency.FORBID,
    history: cron.history ?? DEFAULT_CRON_HISTORY,
  };
}

/** The update order has no fixed default: it depends on other fields, which a later update can change. */
function withUpdateDefaults(update: UpdateConfig | undefined): UpdateConfig {
  const config = update ?? UpdateConfig.fromPartial({});
  return { ...config, parallelism: config.parallelism ?? DEFAULT_UPDATE_PARALLELISM };
}

function withPortDefaults(port: PortSpec): PortSpec {
  return {
    ...port,
    protocol: port.protocol || PortSpec_Protocol.TCP,
    mode: port.mode || PortSpec_Mode.INGRESS,
  };
}
