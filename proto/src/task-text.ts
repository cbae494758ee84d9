import { TaskState, type TaskStatus } from "../gen/berth/v1/cluster.js";

/**
 * Base of the exit codes of programs that a signal ended: the code is this number plus the signal's number, such as 137
 * for SIGKILL.
 */
const SIGNAL_EXIT_BASE = 128;

/** Exit code of many programs after any error. It is not a signal's, since no signal has the number 127. */
const ANY_ERROR = 255;

/** Maximum length of a status message, in characters. Docker keeps 4 KiB of a health check's output. */
export const MAX_STATUS_MESSAGE_LENGTH = 8_192;

/** Maximum number of unknown tasks that an agent reports. */
export const MAX_UNKNOWN_TASKS = 1_000;

/** Returns `exit code 3`, or `exit code 137 (signal 9)` for a program that a signal ended. */
export function exitCodeText(exitCode: number): string {
  const isSignal = exitCode > SIGNAL_EXIT_BASE && exitCode !== ANY_ERROR;
  return `exit code ${exitCode}${isSignal ? ` (signal ${exitCode - SIGNAL_EXIT_BASE})` : ""}`;
}

/**
 * Returns a text for users that says why a task is in its state or how it ended. The text is the task's message with its
 * error code and, if the message lacks it, the exit code. It is empty when neither is known.
 */
export function taskStatusText(status: TaskStatus | undefined): string {
  const { message: reason = "", exitCode, state, errorCode = "" } = status ?? {};
  const message = errorCode === "" ? reason : `${reason} (${errorCode})`;
  // The exit code of a task that was stopped on request is not an error.
  if (exitCode === undefined || state === TaskState.SHUTDOWN) return message;
  if (message === "") return `ended with ${exitCodeText(exitCode)}`;
  return message.includes(`exit code ${exitCode}`) ? message : `${exitCodeText(exitCode)}: ${message}`;
}
