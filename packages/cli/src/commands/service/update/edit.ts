import {
  type ContainerSpec,
  Healthcheck,
  Placement,
  Resources,
  RestartPolicy,
  type ServiceSpec,
  type TaskSpec,
  UpdateConfig,
} from "@berth/proto";
import type { Parsed } from "../../../compose/text/parsed.js";

/** Applies one value of a `berth service update` flag to a copy of the spec, or returns why the value is invalid. */
export type Edit = (spec: ServiceSpec, text: string) => Parsed<ServiceSpec>;

/** Returns the new values of the fields that a flag's value changes in one part of a spec. */
type Change<Part, Value> = (part: Part, value: Value) => Partial<Part>;

/** Creates an edit from a parser of the flag's value and the change that the parsed value makes. */
export function edit<Value>(
  parse: (text: string) => Parsed<Value>,
  change: (spec: ServiceSpec, value: Value) => ServiceSpec,
): Edit {
  return (spec, text) => {
    const parsed = parse(text);
    return parsed.kind === "invalid" ? parsed : { kind: "value", value: change(spec, parsed.value) };
  };
}

/** Applies a change to the task template. Returns a spec without a task unchanged. Specs of servers have one. */
export function inTask<Value>(change: Change<TaskSpec, Value>) {
  return (spec: ServiceSpec, value: Value): ServiceSpec =>
    spec.task === undefined ? spec : { ...spec, task: { ...spec.task, ...change(spec.task, value) } };
}

/** Applies a change to the container of the task template. */
export function inContainer<Value>(change: Change<ContainerSpec, Value>) {
  return inTask<Value>((task, value) =>
    task.container === undefined
      ? {}
      : { container: { ...task.container, ...change(task.container, value) } },
  );
}

/** Applies a change to the health check, which is created if the spec has none. */
export function inHealthcheck<Value>(change: Change<Healthcheck, Value>) {
  return inContainer<Value>(({ healthcheck = Healthcheck.fromPartial({}) }, value) => ({
    healthcheck: { ...healthcheck, ...change(healthcheck, value) },
  }));
}

/** Applies a change to the restart policy, which is created if the spec has none. */
export function inRestart<Value>(change: Change<RestartPolicy, Value>) {
  return inTask<Value>(({ restart = RestartPolicy.fromPartial({}) }, value) => ({
    restart: { ...restart, ...change(restart, value) },
  }));
}

/** Applies a change to the limits or the reservations, which are created if the spec has none. */
export function inResources<Value>(part: "limits" | "reservations", change: Change<Resources, Value>) {
  return inTask<Value>((task, value) => {
    const resources = task[part] ?? Resources.fromPartial({});
    return { [part]: { ...resources, ...change(resources, value) } };
  });
}

/** Applies a change to the placement, which is created if the spec has none. */
export function inPlacement<Value>(change: Change<Placement, Value>) {
  return (spec: ServiceSpec, value: Value): ServiceSpec => {
    const placement = spec.placement ?? Placement.fromPartial({});
    return { ...spec, placement: { ...placement, ...change(placement, value) } };
  };
}

/** Applies a change to the update policy or the rollback policy. */
export function inRollout<Value>(part: "update" | "rollback", change: Change<UpdateConfig, Value>) {
  return (spec: ServiceSpec, value: Value): ServiceSpec => {
    const config = spec[part] ?? UpdateConfig.fromPartial({});
    return { ...spec, [part]: { ...config, ...change(config, value) } };
  };
}
