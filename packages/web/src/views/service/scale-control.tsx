import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call } from "../../app/api.js";
import { canChange } from "../../app/session.js";
import type { Service } from "../../core/model/service.js";
import { formatCount } from "../../format/format.js";
import { ActionResult, useAction } from "../shared/action.js";

/** More than a cluster can run; the server has limits of its own. */
const MAX_REPLICAS = 10_000;

export interface ScaleControlProps {
  readonly service: Service;
  /** Number of replicas in the spec. Undefined for a service that cannot be scaled. */
  readonly replicas: number | undefined;
}

/** Changes the number of replicas. */
export function ScaleControl({ service, replicas }: ScaleControlProps): JSX.Element | null {
  const action = useAction();
  const wanted = useSignal(replicas ?? 0);
  if (replicas === undefined || !canChange.value) return null;
  const scale = async (): Promise<string> => {
    await call("ScaleServices", { services: [{ service: service.id, replicas: wanted.value }] });
    return `Scaled to ${formatCount(wanted.value, "replica")}.`;
  };
  return (
    <form
      class="actions"
      onSubmit={(event) => {
        event.preventDefault();
        action.run(scale);
      }}
    >
      <label>
        Replicas{" "}
        <input
          type="number"
          min="0"
          max={MAX_REPLICAS}
          value={wanted.value}
          onInput={({ currentTarget }) => {
            wanted.value = Math.trunc(currentTarget.valueAsNumber) || 0;
          }}
        />
      </label>
      <button type="submit" disabled={action.isRunning}>
        Scale
      </button>
      <ActionResult action={action} />
    </form>
  );
}
