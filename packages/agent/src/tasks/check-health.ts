import type { CheckResult, HealthCheck } from "../core/tasks/start-check.js";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";

/**
 * Runs a health check in a container, as Docker does.
 *
 * @throws EngineError if Docker is unavailable
 */
export async function checkHealth(
  engine: Pick<Engine, "exec">,
  { containerId, command, timeoutMs }: Pick<HealthCheck, "containerId" | "command" | "timeoutMs">,
  signal: AbortSignal,
): Promise<CheckResult> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const options = { env: [], user: "", workingDir: "", tty: false, stdin: false, signal: limit };
  try {
    const exec = await engine.exec(containerId, { command, ...options });
    for await (const _ of exec.output) {
      // The command blocks unless its output is read.
    }
    return (await exec.exitCode()) === 0 ? "passed" : "failed";
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return "timeout";
    if (isEngineError(error, "unavailable")) throw error;
    // The program is missing, or the container has ended.
    return "failed";
  }
}
