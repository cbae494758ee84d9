import { access, constants } from "node:fs/promises";
import { failureOf, type RunProgram, runProgram } from "../runtime/run-program.js";

/** The argument with which the entry point only probes. */
export const PROBE_FLAG = "--probe";

/** Exit status of the probe when this process lacks privileges. Node.js itself never exits with this status. */
export const PROBE_DENIED = 77;

/** Timeout of the probe. */
const PROBE_TIMEOUT_MS = 10_000;

/** Programs that the ingress process runs with its own privileges, with arguments that change nothing. */
const PROBE_COMMANDS: readonly (readonly [program: string, ...args: string[]])[] = [
  ["nft", "list", "tables"],
  ["ip", "link", "show", "dev", "lo"],
  ["conntrack", "--count"],
];
/** Other failures, such as of a kernel without conntrack, are the same for root. */
const LACKS_PRIVILEGES = /not permitted|permission denied|must be root/i;

/**
 * Returns which of its programs this process may not use, or undefined if it may use all. A program that is not
 * installed is no reason: root could not use it either.
 *
 * @param executable of Node.js. setpriv still has the privileges of root when it executes it, but successors do not.
 */
export async function findPrivilegeProblem(
  signal: AbortSignal,
  run: RunProgram = runProgram,
  executable = process.execPath,
): Promise<string | undefined> {
  const isExecutable = await access(executable, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isExecutable) {
    return `${executable}: permission denied; install Node.js where all users can read it, not below /root`;
  }
  const problems = await Promise.all(
    PROBE_COMMANDS.map(async ([program, ...args]) => {
      const failure = failureOf(program, await run(program, { args, signal }));
      return failure !== undefined && LACKS_PRIVILEGES.test(failure) ? `${program}: ${failure}` : undefined;
    }),
  );
  return problems.find((problem) => problem !== undefined);
}

/** Runs the probe, prints the problem, and returns the exit status. */
export async function probePrivileges(): Promise<number> {
  const problem = await findPrivilegeProblem(AbortSignal.timeout(PROBE_TIMEOUT_MS));
  if (problem === undefined) return 0;
  process.stderr.write(`${problem}\n`);
  return PROBE_DENIED;
}
