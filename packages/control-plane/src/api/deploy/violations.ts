import { BerthError, type ErrorCode, type Violation } from "@berth/proto";

/** A violation in one part of a request. Its fields are those of `-o json`. */
export interface ServiceViolation extends Violation {
  /** Name of the service, or another part such as `network shop_back`. Empty if it concerns the whole request. */
  readonly service: string;
}

/**
 * Returns an error that lists all violations: as text in its message, and as JSON in `details.violations`.
 *
 * @param errorPrefix what failed, such as `stack shop was not deployed`
 */
export function violationsError(
  code: ErrorCode,
  errorPrefix: string,
  violations: readonly ServiceViolation[],
): BerthError {
  const lines = violations.map(({ service, path, message }) =>
    [service, path, message].filter((part) => part !== "").join(": "),
  );
  return new BerthError({
    code,
    message:
      lines.length === 1
        ? `${errorPrefix}: ${lines[0]}`
        : `${errorPrefix}:\n${lines.map((line) => `  ${line}`).join("\n")}`,
    details: { violations: JSON.stringify(violations) },
  });
}
