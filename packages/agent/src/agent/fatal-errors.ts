import type { Logger } from "pino";

/** The events of `process` that would otherwise end it without a line in the log. */
interface ErrorSource {
  on(event: "unhandledRejection" | "uncaughtException", listener: (error: unknown) => void): unknown;
  off(event: "unhandledRejection" | "uncaughtException", listener: (error: unknown) => void): unknown;
}

/**
 * Logs unhandled errors and ends the process with exit code 1, because its state is unknown. The restarted agent adopts
 * the running containers. Returns a function that removes the handlers.
 */
export function exitOnUnhandledErrors(
  source: ErrorSource,
  { log, exit }: { readonly log: Logger; readonly exit: (code: number) => void },
): () => void {
  const onError = (error: unknown): void => {
    log.fatal({ err: error }, "unhandled error; exiting");
    exit(1);
  };
  source.on("unhandledRejection", onError);
  source.on("uncaughtException", onError);
  return () => {
    source.off("unhandledRejection", onError);
    source.off("uncaughtException", onError);
  };
}
