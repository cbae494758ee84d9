import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { call } from "../../app/api.js";
import { errorText } from "../../app/api-error.js";
import type { JsonObject } from "../../core/json.js";

export interface InspectProps {
  /** A method that returns the object, and its request. */
  readonly method: string;
  readonly request: JsonObject;
}

/** Everything that the API returns about an object, as JSON. It is fetched whenever the user opens it. */
export function Inspect({ method, request }: InspectProps): JSX.Element {
  const text = useSignal("");
  const error = useSignal("");
  const load = async (): Promise<void> => {
    error.value = "";
    try {
      text.value = JSON.stringify(await call(method, request), undefined, 2);
    } catch (reason) {
      error.value = errorText(reason);
    }
  };
  return (
    <details
      class="part"
      onToggle={({ currentTarget }) => {
        if (currentTarget.open) void load();
      }}
    >
      <summary>Inspect</summary>
      {error.value === "" ? <pre>{text.value || "Loading."}</pre> : <p class="error">{error.value}</p>}
    </details>
  );
}
