/** Exit code of `docker run` for a container that did not start. */
const EXIT_NOT_STARTED = 125;
/** Exit code of `docker run` for a command that cannot be executed. */
const EXIT_NOT_EXECUTABLE = 126;
/** Exit code of `docker run` for a command that does not exist. */
const EXIT_NOT_FOUND = 127;

/** Why a container did not start, and the exit code that `docker run` returns for it. */
export interface StartFailure {
  readonly exitCode: number;
  readonly error: string;
}

/** Returns the exit code for Docker's message about a failed start. */
export function startFailure(message: string): StartFailure {
  return { exitCode: exitCodeOf(message), error: message };
}

function exitCodeOf(message: string): number {
  if (!/OCI runtime create failed|exec:/i.test(message)) return EXIT_NOT_STARTED;
  if (/executable file not found|no such file or directory/i.test(message)) return EXIT_NOT_FOUND;
  if (/permission denied|is a directory/i.test(message)) return EXIT_NOT_EXECUTABLE;
  return EXIT_NOT_STARTED;
}
