import { TaskState, type TaskStatus } from "../gen/berth/v1/cluster.js";

/** A program that a signal ends has this plus the signal's number as its exit code: 137 is 128 + SIGKILL. */
const SIGNAL_EXIT_BASE = 128;

/** Many programs exit with this after any error. No signal has the number 127. */
const ANY_ERROR = 255;

/** Returns `exit code 3`, or `exit code 137 (signal 9)` for a program that a signal ended. */
export function exitCodeText(exitCode: number): string {
  const isSignal = exitCode > SIGNAL_EXIT_BASE && exitCode !== ANY_ERROR;
  return `exit code ${exitCode}${isSignal ? ` (signal ${exitCode - SIGNAL_EXIT_BASE})` : ""}`;
}

/**
 * Returns why a task is in its state or how it ended, for users: its message, and its exit code unless the message
 * contains it. Empty when neither is known.
 */
export function taskStatusText(status: TaskStatus | undefined): string {
  const { message = "", exitCode, state } = status ?? {};
  // The exit code of a task that was asked to stop says nothing.
  if (exitCode === undefined || state === TaskState.SHUTDOWN) return message;
  if (message === "") return `ended with ${exitCodeText(exitCode)}`;
  return message.includes(`exit code ${exitCode}`) ? message : `${exitCodeText(exitCode)}: ${message}`;
}
