import { Service, ServiceSpec, Task } from "@berth/proto";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import { defineKind, requireSameId, wrap } from "./record-kind.js";

export const serviceKind = defineKind<{ readonly service: Service }, { readonly serviceId: string }>({
  collection: "services",
  keyFields: ["serviceId"],
  idOf: ({ service }) => ({ serviceId: service.id }),
  encode: ({ service }) => encodeMessage(Service, service),
  decode: (value, { serviceId }) => {
    const service = decodeMessage(Service, value);
    requireSameId(service.id, serviceId);
    if (service.spec === undefined) throw new Error("the service has no spec");
    return { service };
  },
  get: ({ services }, { serviceId }) => wrap("service", services.get(serviceId)),
  put: ({ services }, { service }) => services.put(service),
  delete: ({ services }, { serviceId }) => services.delete(serviceId),
  addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
});

/** Assigns a name to a service. The key makes sure that names are unique. */
export const nameKind = defineKind<
  { readonly name: string; readonly serviceId: string },
  { readonly name: string }
>({
  collection: "names",
  keyFields: ["name"],
  idOf: ({ name }) => ({ name }),
  encode: ({ serviceId }) => ({ serviceId }),
  decode: ({ serviceId }, { name }) => {
    if (typeof serviceId !== "string") throw new Error("the name has no serviceId");
    return { name, serviceId };
  },
  get: ({ serviceNames }, { name }) => {
    const serviceId = serviceNames.get(name);
    return serviceId === undefined ? undefined : { name, serviceId };
  },
  put: ({ serviceNames }, { name, serviceId }) => serviceNames.set(name, serviceId),
  delete: ({ serviceNames }, { name }) => serviceNames.delete(name),
  addToDelta: () => {},
});

/** The spec of one version of a service. */
export const revisionKind = defineKind<
  { readonly serviceId: string; readonly version: number; readonly spec: ServiceSpec },
  { readonly serviceId: string; readonly version: number }
>({
  collection: "revisions",
  keyFields: ["serviceId", "version"],
  idOf: ({ serviceId, version }) => ({ serviceId, version }),
  encode: ({ spec }) => encodeMessage(ServiceSpec, spec),
  decode: (value, { serviceId, version }) => ({
    serviceId,
    version,
    spec: decodeMessage(ServiceSpec, value),
  }),
  get: ({ services }, { serviceId, version }) => {
    const spec = services.versions.specOf(serviceId, version);
    return spec && { serviceId, version, spec };
  },
  put: ({ services }, { serviceId, version, spec }) => services.versions.put(serviceId, version, spec),
  delete: ({ services }, { serviceId, version }) => services.versions.delete(serviceId, version),
  addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
});

export const taskKind = defineKind<
  { readonly task: Task },
  { readonly serviceId: string; readonly taskId: string }
>({
  collection: "tasks",
  keyFields: ["serviceId", "taskId"],
  idOf: ({ task }) => ({ serviceId: task.serviceId, taskId: task.id }),
  encode: ({ task }) => encodeMessage(Task, task),
  decode: (value, { serviceId, taskId }) => {
    const task = decodeMessage(Task, value);
    requireSameId(task.id, taskId);
    requireSameId(task.serviceId, serviceId);
    if (task.status === undefined) throw new Error("the task has no status");
    return { task };
  },
  get: ({ tasks }, { taskId }) => wrap("task", tasks.get(taskId)),
  put: ({ tasks, nodes, services }, { task }) => {
    nodes.occupy(task, services.versions.specOf(task.serviceId, task.specVersion));
    tasks.put(task);
  },
  delete: ({ tasks, nodes }, { taskId }) => {
    nodes.release(taskId);
    tasks.delete(taskId);
  },
  addToDelta: (delta, { taskId }, { before, after }) => {
    delta.addTask(taskId, { before: before?.task, after: after?.task });
  },
});
