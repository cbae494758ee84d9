import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { call, query } from "../../app/api.js";
import type { ComposeResult, SelectedFile } from "../../compose/read-compose-files.js";
import { type DeployPlan, decodePlan, planSummary } from "../../core/model/deploy-plan.js";
import { ActionButton, ActionResult, useAction } from "../shared/action.js";
import { Section } from "../shared/details.js";
import { PlanView } from "./plan-view.js";

/** Maximum size of a file. Compose files are smaller. */
const MAX_FILE_BYTES = 2 * 1_024 * 1_024;
const STACK_NAME = "[a-z0-9][a-z0-9_\\-]*";

/** A file that was read and planned. */
interface CheckedFiles {
  readonly result: ComposeResult;
  /** Undefined when the files have errors. */
  readonly plan: DeployPlan | undefined;
}

/** Checks and plans Compose files that the user drops onto the web UI, and deploys them. */
export function DeployForm(): JSX.Element {
  const stack = useSignal("");
  const files = useSignal<readonly SelectedFile[]>([]);
  const checked = useSignal<CheckedFiles | undefined>(undefined);
  const action = useAction();

  const check = async (): Promise<string> => {
    checked.value = undefined;
    if (files.value.length === 0) throw new Error("no file is selected; select a Compose file first");
    // The reader is four times as large as the rest of the web UI.
    const { readComposeFiles } = await import("../../compose/read-compose-files.js");
    const result = readComposeFiles(stack.value, files.value);
    if (result.errors.length > 0) {
      checked.value = { result, plan: undefined };
      return "";
    }
    const response = await query("DeployStack", { ...result.request, prune: true, dryRun: true });
    checked.value = { result, plan: decodePlan(response) };
    return "Nothing was deployed yet.";
  };
  const deploy = async (): Promise<string> => {
    const { result, plan } = checked.value ?? {};
    if (result === undefined || plan === undefined) return "";
    await call("DeployStack", { ...result.request, prune: true, planRev: plan.rev });
    checked.value = undefined;
    return `Deployed stack ${stack.value}: ${planSummary(plan)}.`;
  };
  const select = async (selected: readonly File[]): Promise<string> => {
    const tooLarge = selected.find(({ size }) => size > MAX_FILE_BYTES);
    if (tooLarge !== undefined) throw new Error(`${tooLarge.name} is larger than 2 MiB`);
    files.value = await Promise.all(
      selected.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })),
    );
    if (stack.value === "") stack.value = suggestedName(selected);
    return stack.value === "" ? "Enter the name of the stack." : check();
  };
  return (
    <Section title="Deploy Compose files">
      <DropZone files={files.value} onSelect={(selected) => action.run(() => select(selected))} />
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault();
          action.run(check);
        }}
      >
        <label>
          Stack{" "}
          <input
            required
            pattern={STACK_NAME}
            value={stack.value}
            onInput={({ currentTarget }) => {
              stack.value = currentTarget.value;
              checked.value = undefined;
            }}
          />
        </label>
        <button type="submit" aria-disabled={action.isRunning || files.value.length === 0}>
          Check and plan
        </button>
        <ActionButton
          action={action}
          task={deploy}
          appearance="primary"
          isDisabled={checked.value?.plan === undefined}
        >
          Deploy
        </ActionButton>
      </form>
      <ActionResult action={action} />
      {checked.value !== undefined && <Problems result={checked.value.result} />}
      {checked.value?.plan !== undefined && <PlanView plan={checked.value.plan} />}
    </Section>
  );
}

interface DropZoneProps {
  readonly files: readonly SelectedFile[];
  readonly onSelect: (files: readonly File[]) => void;
}

function DropZone({ files, onSelect }: DropZoneProps): JSX.Element {
  const isOver = useSignal(false);
  const input = useRef<HTMLInputElement>(null);
  return (
    <section
      aria-label="Compose files"
      class={isOver.value ? "drop-zone over" : "drop-zone"}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => {
        isOver.value = false;
      }}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        onSelect([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <p>Drop a Compose file here, with the env files and configs that it refers to.</p>
      <input
        ref={input}
        class="hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-label="Compose files"
        onChange={({ currentTarget }) => onSelect([...(currentTarget.files ?? [])])}
      />
      <button type="button" onClick={() => input.current?.click()}>
        Select files
      </button>
      {files.length > 0 && <p>{files.map(({ name }) => name).join(", ")}</p>}
    </section>
  );
}

function Problems({ result: { errors, warnings } }: { readonly result: ComposeResult }): JSX.Element {
  return (
    <>
      {errors.length > 0 && (
        <div role="alert">
          <ul class="problems error">
            {errors.map((error) => (
              <li key={error}>{error}</li>
            ))}
          </ul>
        </div>
      )}
      {warnings.length > 0 && (
        <ul class="problems warning">
          {warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Returns the name of the file without its extension, unless it is a usual name of Compose files. */
function suggestedName(files: readonly File[]): string {
  const name = files.find((file) => /\.ya?ml$/.test(file.name))?.name.replace(/\.ya?ml$/, "") ?? "";
  return /^(docker-)?compose$/.test(name) ? "" : name.toLowerCase().replace(/[^a-z0-9_-]/g, "");
}
