import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { errorText } from "../../app/api-error.js";

/** The progress of something that the user has started. */
export interface Action {
  readonly isRunning: boolean;
  /** Why the last attempt failed. Empty when it did not. */
  readonly error: string;
  /** What the last attempt has achieved. */
  readonly result: string;
  /** Runs the action unless it runs already. The returned text says what it has achieved. */
  readonly run: (task: () => Promise<string>) => void;
}

export function useAction(): Action {
  const isRunning = useSignal(false);
  const error = useSignal("");
  const result = useSignal("");
  const run = async (task: () => Promise<string>): Promise<void> => {
    if (isRunning.value) return;
    isRunning.value = true;
    error.value = "";
    result.value = "";
    try {
      result.value = await task();
    } catch (reason) {
      error.value = errorText(reason);
    } finally {
      isRunning.value = false;
    }
  };
  return {
    isRunning: isRunning.value,
    error: error.value,
    result: result.value,
    run: (task) => void run(task),
  };
}

/** Shows the result or the error of an action. */
export function ActionResult({ action }: { readonly action: Action }): JSX.Element {
  return (
    <p class={action.error === "" ? "result" : "result error"} role="status">
      {action.error || action.result}
    </p>
  );
}

export interface ActionButtonProps {
  readonly action: Action;
  readonly task: () => Promise<string>;
  readonly children: ComponentChildren;
  readonly appearance?: "danger" | "primary";
  readonly isDisabled?: boolean;
}

/** A button that starts an action. It keeps the focus while it has no effect, which `disabled` would take away. */
export function ActionButton({
  action,
  task,
  children,
  appearance,
  isDisabled,
}: ActionButtonProps): JSX.Element {
  const isUnavailable = action.isRunning || isDisabled === true;
  return (
    <button
      type="button"
      class={appearance}
      aria-disabled={isUnavailable}
      onClick={() => {
        if (!isUnavailable) action.run(task);
      }}
    >
      {children}
    </button>
  );
}
