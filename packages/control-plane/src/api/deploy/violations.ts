import { BerthError, type ErrorCode, type Violation } from "@berth/proto";

/** A violation in one service of a request. */
export interface ServiceViolation extends Violation {
  /** Name of the service; empty when it is about the request itself. */
  readonly service: string;
}

/** Everything that is wrong at once: in words for people, and in `details.violations` as JSON for programs. */
export function violationsError(
  code: ErrorCode,
  intro: string,
  violations: readonly ServiceViolation[],
): BerthError {
  const lines = violations.map(({ service, path, message }) => {
    const where = [service, path].filter((part) => part !== "").join(": ");
    return where === "" ? message : `${where}: ${message}`;
  });
  return new BerthError({
    code,
    message:
      lines.length === 1
        ? `${intro}: ${lines[0]}.`
        : `${intro}:\n${lines.map((line) => `  ${line}`).join("\n")}`,
    details: { violations: JSON.stringify(violations) },
  });
}
