const LOCAL_FAILURES: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
]);

/** True when a connection failed for want of our own files, ports or memory: that says nothing about the endpoint. */
export function isLocalFailure(code: string): boolean {
  return LOCAL_FAILURES.has(code);
}
