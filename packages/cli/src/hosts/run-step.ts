import { BerthError } from "@berth/proto";
import { lastLine, type RemoteCommand, type SshConnection } from "./ssh-connection.js";

/**
 * Runs a command on a host and returns its standard output. Fails unless the exit code is 0.
 *
 * @param purpose what the command does, for the error: "install berth"
 * @throws BerthError BERTH_HOST_FAILED with the last line of the command's output, and the errors of `run`
 */
export async function runStep(ssh: SshConnection, purpose: string, command: RemoteCommand): Promise<string> {
  const { exitCode, stdout, stderr } = await ssh.run(command);
  if (exitCode === 0) return stdout;
  const reason = lastError(stderr) || lastLine(stdout) || `exit code ${exitCode}`;
  throw new BerthError({
    code: "BERTH_HOST_FAILED",
    message: `cannot ${purpose} on ${ssh.destination}: ${reason}`,
    details: { host: ssh.destination },
  });
}

/** Returns the line that says why a program failed: the line that apt or berth marks as an error, or the last one. */
function lastError(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const error = lines.findLast((line) => /^(E:|error:|berth server)/i.test(line)) ?? lastLine(output);
  return error.replace(/^(E:|error:)\s*/i, "");
}
