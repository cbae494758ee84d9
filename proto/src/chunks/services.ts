import {
  type ExecRequest,
  ControlServiceService as GeneratedControlService,
} from "../../gen/berth/v1/control.js";
import {
  type ExecInput,
  type ExecOutput,
  DispatcherServiceService as GeneratedDispatcherService,
} from "../../gen/berth/v1/dispatcher.js";
import { ImageServiceService as GeneratedImageService, type ImageUpload } from "../../gen/berth/v1/image.js";
import { withChunkFields } from "./chunk-fields.js";

/** The services whose streams carry files, output and input. Their methods encode these bytes without needless copies. */

export const ControlServiceService = withChunkFields(GeneratedControlService, {
  exec: {
    request: {
      path: [2, 1],
      bytesOf: ({ message }) => (message?.$case === "input" ? inputBytes(message.value) : undefined),
      wrap: (bytes): ExecRequest => ({ message: { $case: "input", value: input(bytes) } }),
    },
    response: {
      path: [1, 2],
      bytesOf: ({ output: message }) => outputBytes(message),
      wrap: (bytes) => ({ output: output(bytes) }),
    },
  },
  pushImage: {
    request: {
      path: [1, 3],
      bytesOf: ({ upload: message, nodes }) => (nodes.length === 0 ? uploadBytes(message) : undefined),
      wrap: (bytes) => ({ upload: upload(bytes), nodes: [] }),
    },
  },
});
export type ControlServiceService = typeof ControlServiceService;

export const DispatcherServiceService = withChunkFields(GeneratedDispatcherService, {
  pushExec: {
    request: {
      path: [2, 2],
      bytesOf: ({ requestId, output: message, error }) =>
        requestId === "" && error === "" ? outputBytes(message) : undefined,
      wrap: (bytes) => ({ requestId: "", output: output(bytes), error: "" }),
    },
    response: {
      path: [1, 1],
      bytesOf: ({ input: message }) => inputBytes(message),
      wrap: (bytes) => ({ input: input(bytes) }),
    },
  },
  receiveImage: {
    response: {
      path: [1, 3],
      bytesOf: ({ upload: message }) => uploadBytes(message),
      wrap: (bytes) => ({ upload: upload(bytes) }),
    },
  },
});
export type DispatcherServiceService = typeof DispatcherServiceService;

export const ImageServiceService = withChunkFields(GeneratedImageService, {
  readLayer: {
    response: { path: [1], bytesOf: ({ data }) => data, wrap: (data) => ({ data }) },
  },
});
export type ImageServiceService = typeof ImageServiceService;

function input(value: Buffer): ExecInput {
  return { message: { $case: "stdin", value } };
}

function inputBytes(input: ExecInput | undefined): Uint8Array | undefined {
  return input?.message?.$case === "stdin" ? input.message.value : undefined;
}

function output(value: Buffer): ExecOutput {
  return { message: { $case: "stdout", value } };
}

function outputBytes(output: ExecOutput | undefined): Uint8Array | undefined {
  return output?.message?.$case === "stdout" ? output.message.value : undefined;
}

function upload(value: Buffer): ImageUpload {
  return { message: { $case: "data", value } };
}

function uploadBytes(upload: ImageUpload | undefined): Uint8Array | undefined {
  return upload?.message?.$case === "data" ? upload.message.value : undefined;
}
