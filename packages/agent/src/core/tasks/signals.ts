/** Signals that people and tools end a container with: HUP, INT, QUIT, KILL, TERM. Docker names them by number or name. */
const TERMINATING: ReadonlySet<string> = new Set([
  "1",
  "2",
  "3",
  "9",
  "15",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGTERM",
]);

export function isTerminating(unixSignal: string): boolean {
  return TERMINATING.has(unixSignal);
}
