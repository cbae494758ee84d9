export { assertNever } from "./assert-never.js";
export { BerthError, type BerthErrorOptions, ERROR_CODES, type ErrorCode, isAbortError, isBerthError, isErrorCode } from "./errors.js";
