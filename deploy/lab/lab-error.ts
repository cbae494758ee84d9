/** An error of the lab. Programs rely on the stable `code`; `message` says what failed, why, and what to do. */
export class LabError extends Error {
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LabError";
    this.code = code;
  }
}

export type LabErrorCode =
  | "LAB_BAD_USAGE"
  | "LAB_BAD_IMAGE"
  | "LAB_COMMAND_FAILED"
  | "LAB_EXISTS"
  | "LAB_HOST_DOWN"
  | "LAB_HOST_UP"
  | "LAB_NOT_FOUND"
  | "LAB_NOT_READY"
  | "LAB_NO_SUBNET"
  | "LAB_UNSUPPORTED";
