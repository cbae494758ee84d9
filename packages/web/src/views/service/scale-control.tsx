import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call } from "../../app/api.js";
import { canChange } from "../../app/session.js";
import { MAX_REPLICAS, parseReplicaCount } from "../../core/model/replica-count.js";
import type { Service } from "../../core/model/service.js";
import { formatCount } from "../../format/format.js";
import { ActionResult, useAction } from "../shared/action.js";

export interface ScaleControlProps {
  readonly service: Service;
  /** Number of replicas in the spec. Undefined for a service that cannot be scaled. */
  readonly replicas: number | undefined;
}

/** A form that changes the number of replicas of a service. */
export function ScaleControl({ service, replicas }: ScaleControlProps): JSX.Element | null {
  const action = useAction();
  const enteredText = useSignal(String(replicas ?? ""));
  if (replicas === undefined || !canChange.value) return null;
  const scale = async (): Promise<string> => {
    const count = parseReplicaCount(enteredText.value);
    if (count === undefined) {
      throw new Error(`invalid number of replicas; enter a whole number from 0 to ${MAX_REPLICAS}`);
    }
    await call("ScaleServices", { services: [{ service: service.id, replicas: count }] });
    return `Scaled to ${formatCount(count, "replica")}.`;
  };
  return (
    <form
      class="actions"
      noValidate
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
          value={enteredText.value}
          onInput={({ currentTarget }) => {
            enteredText.value = currentTarget.value;
          }}
        />
      </label>
      <button type="submit" aria-disabled={action.isRunning}>
        Scale
      </button>
      <ActionResult action={action} />
    </form>
  );
}
