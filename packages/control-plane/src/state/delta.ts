import type { Node, Task } from "@berth/proto";

/** A record before and after; undefined where it did not exist. */
export interface RecordDiff<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** What one committed batch, or one event from outside, changed. */
export interface Delta {
  /** Services whose own record changed, one of their tasks, or an address that stands for them. */
  readonly services: ReadonlySet<string>;
  readonly tasks: ReadonlyMap<string, RecordDiff<Task>>;
  readonly nodes: ReadonlyMap<string, RecordDiff<Node>>;
  /** Ids of networks whose own record changed. */
  readonly networks: ReadonlySet<string>;
  /** Ids of networks of which a node has another part than before. */
  readonly ranges: ReadonlySet<string>;
}

/** Collects steps; of several for one record the first `before` and the last `after` remain. */
export class DeltaBuilder implements Delta {
  readonly services = new Set<string>();
  readonly tasks = new Map<string, RecordDiff<Task>>();
  readonly nodes = new Map<string, RecordDiff<Node>>();
  readonly networks = new Set<string>();
  readonly ranges = new Set<string>();

  get isEmpty(): boolean {
    const { services, nodes, networks, ranges } = this;
    return services.size + nodes.size + networks.size + ranges.size === 0;
  }

  task(taskId: string, step: RecordDiff<Task>): void {
    join(this.tasks, taskId, step);
    const serviceId = step.after?.serviceId ?? step.before?.serviceId;
    if (serviceId !== undefined) this.services.add(serviceId);
  }

  node(nodeId: string, step: RecordDiff<Node>): void {
    join(this.nodes, nodeId, step);
  }
}

function join<T>(steps: Map<string, RecordDiff<T>>, id: string, step: RecordDiff<T>): void {
  const earlier = steps.get(id);
  steps.set(id, earlier === undefined ? step : { before: earlier.before, after: step.after });
}
