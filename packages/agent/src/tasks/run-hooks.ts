import { exitCodeText, type Hook } from "@berth/proto";
import { isAlive } from "../core/docker/observed-container.js";
import type { HookResult, HookRun } from "../core/tasks/hooks.js";
import type { StepOutcome } from "../core/tasks/step.js";
import type { Engine, EngineStream } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";

/** Number of bytes at the end of a hook's output that a failure quotes: programs report errors there. */
const MAX_OUTPUT_BYTES = 1_024;
/** Number of characters of a hook's command that a failure quotes. */
const MAX_COMMAND_LENGTH = 80;

/** The name of each kind of hook in Compose files. */
const HOOK_NAMES = { "post-start": "post_start", "pre-stop": "pre_stop" } as const;

type HookEngine = Pick<Engine, "exec" | "inspect">;

/**
 * Runs hooks in a container, one after another, until one fails. If a hook fails and the container has ended, returns the
 * container instead of a result, because its exit code is more informative than the hook's.
 *
 * @throws EngineError if Docker is unavailable
 */
export async function runHooks(
  engine: HookEngine,
  run: HookRun & Pick<HookResult, "phase">,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const { phase, containerId, processId } = run;
  const startedMs = performance.now();
  const failure = await runUntilFailure(engine, run, signal);
  if (failure !== "") {
    const container = await engine.inspect(containerId, { signal });
    if (container === undefined) return { kind: "gone", containerId };
    if (!isAlive(container)) return { kind: "observed", container };
  }
  const durationMs = Math.round(performance.now() - startedMs);
  return { kind: "hooks-run", phase, containerId, processId, failure, durationMs };
}

/** Runs the hooks until one fails. Returns why it failed, or "" if all succeeded. */
async function runUntilFailure(
  engine: HookEngine,
  { phase, containerId, hooks, timeoutMs }: HookRun & Pick<HookResult, "phase">,
  signal: AbortSignal,
): Promise<string> {
  const deadlineSignal = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  for (const hook of hooks) {
    const problem = await runHook(engine, { containerId, hook, timeoutMs }, { signal, deadlineSignal });
    if (problem !== undefined) return `${HOOK_NAMES[phase]} hook ${commandText(hook)} ${problem}`;
  }
  return "";
}

interface HookSignals {
  /** Cancels the step. */
  readonly signal: AbortSignal;
  /** Aborted when the step is canceled or out of time. */
  readonly deadlineSignal: AbortSignal;
}

/** Runs one hook. Returns why it failed, or undefined if it succeeded. */
async function runHook(
  engine: HookEngine,
  { containerId, hook, timeoutMs }: Pick<HookRun, "containerId" | "timeoutMs"> & { readonly hook: Hook },
  { signal, deadlineSignal }: HookSignals,
): Promise<string | undefined> {
  const { command, user, workingDir, env, privileged } = hook;
  const options = {
    command,
    user,
    workingDir,
    env,
    privileged,
    tty: false,
    stdin: false,
    signal: deadlineSignal,
  };
  try {
    const exec = await engine.exec(containerId, options);
    const output = await readTail(exec);
    const exitCode = await exec.exitCode();
    return exitCode === 0 ? undefined : `ended with ${exitCodeText(exitCode)}${output}`;
  } catch (error) {
    signal.throwIfAborted();
    if (deadlineSignal.aborted) return `did not finish within ${timeoutMs / 1_000} s`;
    if (!isEngineError(error) || error.kind === "unavailable") throw error;
    return `could not be started: ${error.message}`;
  }
}

/** Reads all output, because the command would block otherwise. Returns its end as `: TEXT`, or "" without output. */
async function readTail({ output }: EngineStream): Promise<string> {
  let tail = Buffer.alloc(0);
  for await (const { bytes } of output) tail = Buffer.concat([tail, bytes]).subarray(-MAX_OUTPUT_BYTES);
  const text = tail.toString("utf8").trim();
  return text === "" ? "" : `: ${text}`;
}

function commandText({ command }: Hook): string {
  const text = JSON.stringify(command.join(" "));
  return text.length > MAX_COMMAND_LENGTH ? `${text.slice(0, MAX_COMMAND_LENGTH)}…"` : text;
}
