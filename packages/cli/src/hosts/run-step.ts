import { BerthError } from "@berth/proto";
import { lastLine, type RemoteCommand, type SshConnection } from "./ssh-connection.js";

/**
 * Runs a command on a host that must succeed, and returns its standard output.
 *
 * @param what what the command does, for the error: "install berth"
 * @throws BerthError BERTH_HOST_FAILED with the last line of the command's output, and the errors of `run`
 */
export async function runStep(ssh: SshConnection, what: string, command: RemoteCommand): Promise<string> {
  const { exitCode, stdout, stderr } = await ssh.run(command);
  if (exitCode === 0) return stdout;
  const reason = lastError(stderr) || lastLine(stdout) || `exit code ${exitCode}`;
  throw new BerthError({
    code: "BERTH_HOST_FAILED",
    message: `cannot ${what} on ${ssh.destination}: ${reason}`,
    details: { host: ssh.destination },
  });
}

/** Returns the line that says why a program failed: that with an error, as apt and berth print it, or the last one. */
function lastError(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const error = lines.findLast((line) => /^(E:|error:|berth server)/i.test(line)) ?? lastLine(output);
  return error.replace(/^(E:|error:)\s*/i, "");
}
