import { Rollout_State, type Service } from "@berth/proto";
import { type CheckContext, runningContainers } from "./check-context.js";
import { replicasOf } from "./task-counts.js";

/** I8: a rollback restores a version that was healthy. */
export class Rollbacks {
  readonly #context: CheckContext;
  /** Slots in which an image has been healthy, by `SERVICE/IMAGE`. */
  readonly #well = new Map<string, Set<string>>();
  /** Images that have been healthy in every slot that the service had at the time. */
  readonly #proven = new Set<string>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  /** Called when a container has started or its health has changed. */
  noteContainer(serviceId: string): void {
    const { records } = this.#context;
    const service = records.services.get(serviceId);
    if (service === undefined) return;
    const image = imageOf(service);
    const well = runningContainers(this.#context).filter(({ container }) => {
      const { body, health } = container;
      return (
        container.serviceId === serviceId &&
        body.Image === image &&
        health !== "starting" &&
        health !== "unhealthy"
      );
    });
    const key = `${serviceId}/${image}`;
    const slots = this.#well.get(key) ?? new Set<string>();
    for (const { host, container } of well) slots.add(String(container.slot || host.name));
    this.#well.set(key, slots);
    if (slots.size >= wantedOf(service)) this.#proven.add(key);
  }

  onChange(before: Service | undefined, after: Service | undefined): void {
    if (after === undefined) return;
    if (after.rollout?.state !== Rollout_State.ROLLING_BACK) {
      // After a scale-down, all remaining slots may be healthy.
      this.noteContainer(after.id);
      return;
    }
    if (before?.rollout?.state === Rollout_State.ROLLING_BACK || before === undefined) return;
    const key = `${after.id}/${imageOf(after)}`;
    const seen = this.#well.get(key)?.size ?? 0;
    if (imageOf(before) === imageOf(after) || this.#proven.has(key) || seen >= wantedOf(after)) return;
    const { report } = this.#context;
    report("I8", `${after.spec?.name} is rolled back to ${imageOf(after)}, which was never healthy`);
  }
}

const wantedOf = (service: Service): number =>
  service.spec?.mode?.$case === "global" ? 1 : replicasOf(service);

function imageOf({ spec }: Service): string {
  return spec?.task?.container?.image ?? "";
}
