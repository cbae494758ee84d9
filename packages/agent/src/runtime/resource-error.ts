/** Codes of system errors for which this host lacks a resource: the endpoint that was dialed is not at fault. */
const RESOURCE_ERRORS: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
]);

/** Returns whether an error means that this host ran out of descriptors, ports or memory. */
export function isResourceError(code: string): boolean {
  return RESOURCE_ERRORS.has(code);
}
