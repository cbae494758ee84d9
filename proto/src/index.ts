export * from "../gen/berth/v1/cluster.js";
export * from "../gen/berth/v1/control.js";
export * from "../gen/berth/v1/dispatcher.js";
export * from "../gen/berth/v1/spec.js";
export { assertNever } from "./assert-never.js";
export {
  BerthError,
  type BerthErrorOptions,
  ERROR_CODES,
  type ErrorCode,
  isAbortError,
  isBerthError,
  isErrorCode,
} from "./errors.js";
