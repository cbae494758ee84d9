import type { ContainerSpec, Mount } from "@berth/proto";
import { fillServiceLabels } from "./text/task-template.js";

/** Label in which Docker Swarm stores the name of the stack. */
const STACK_LABEL = "com.docker.stack.namespace";

interface LabeledService {
  readonly stack: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Replaces placeholders for labels of the service in the container's spec. */
export function fillLabels(container: ContainerSpec, { stack, labels }: LabeledService): ContainerSpec {
  const labelValues = { [STACK_LABEL]: stack, ...labels };
  const fill = (text: string): string => (text.includes("{{") ? fillServiceLabels(text, labelValues) : text);
  return {
    ...container,
    env: container.env.map(fill),
    hostname: fill(container.hostname),
    mounts: container.mounts.map((mount) => fillMount(mount, fill)),
  };
}

function fillMount(mount: Mount, fill: (text: string) => string): Mount {
  const { kind } = mount;
  const target = fill(mount.target);
  if (kind?.$case === "bind") {
    return { ...mount, target, kind: { ...kind, value: { ...kind.value, source: fill(kind.value.source) } } };
  }
  if (kind?.$case === "volume") {
    return { ...mount, target, kind: { ...kind, value: { ...kind.value, name: fill(kind.value.name) } } };
  }
  return { ...mount, target };
}
