import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  type ExecRequest,
  type ExecResponse,
  ControlServiceService as GeneratedControl,
  type PushImageRequest,
} from "../../gen/berth/v1/control.js";
import {
  DispatcherServiceService as GeneratedDispatcher,
  type PushExecRequest,
  type PushExecResponse,
  type ReceiveImageResponse,
} from "../../gen/berth/v1/dispatcher.js";
import { ImageServiceService as GeneratedImage, type ReadLayerResponse } from "../../gen/berth/v1/image.js";
import { allocateChunk, shortenChunk } from "./chunk-codec.js";
import { ControlServiceService, DispatcherServiceService, ImageServiceService } from "./services.js";

/** Lengths around those from which on the length of a message takes another byte. */
const SIZES = [0, 1, 122, 123, 124, 125, 126, 127, 128, 16_378, 16_380, 16_383, 16_384, 300_000];

interface Codec<Message> {
  readonly encode: (message: Message) => Buffer;
  readonly decode: (encoded: Buffer) => Message;
}

interface Case<Message> {
  readonly ours: Codec<Message>;
  readonly generated: Codec<Message>;
  /** Returns a message with these bytes and nothing else. */
  readonly withBytes: (bytes: Buffer) => Message;
  /** Messages with something else. */
  readonly others: readonly Message[];
}

function requestOf<Message>({
  requestSerialize: encode,
  requestDeserialize: decode,
}: {
  readonly requestSerialize: (message: Message) => Buffer;
  readonly requestDeserialize: (encoded: Buffer) => Message;
}): Codec<Message> {
  return { encode, decode };
}

function responseOf<Message>({
  responseSerialize: encode,
  responseDeserialize: decode,
}: {
  readonly responseSerialize: (message: Message) => Buffer;
  readonly responseDeserialize: (encoded: Buffer) => Message;
}): Codec<Message> {
  return { encode, decode };
}

const empty = Buffer.alloc(0);
const stdin = (value: Buffer) => ({ message: { $case: "stdin", value } }) as const;
const stdout = (value: Buffer) => ({ message: { $case: "stdout", value } }) as const;
const stderr = (value: Buffer) => ({ message: { $case: "stderr", value } }) as const;
const data = (value: Buffer) => ({ message: { $case: "data", value } }) as const;
const end = { message: { $case: "stdinEnd", value: {} } } as const;

const CASES: Readonly<Record<string, Case<never>>> = {
  "the input of a client": {
    ours: requestOf(ControlServiceService.exec),
    generated: requestOf(GeneratedControl.exec),
    withBytes: (bytes) => ({ message: { $case: "input", value: stdin(bytes) } }),
    others: [{ message: { $case: "input", value: end } }, { message: undefined }],
  } satisfies Case<ExecRequest>,
  "the output to a client": {
    ours: responseOf(ControlServiceService.exec),
    generated: responseOf(GeneratedControl.exec),
    withBytes: (bytes) => ({ output: stdout(bytes) }),
    others: [{ output: stderr(Buffer.from("text")) }, { output: undefined }],
  } satisfies Case<ExecResponse>,
  "an image from a client": {
    ours: requestOf(ControlServiceService.pushImage),
    generated: requestOf(GeneratedControl.pushImage),
    withBytes: (bytes) => ({ upload: data(bytes), nodes: [] }),
    others: [{ upload: data(Buffer.from("text")), nodes: ["h1"] }],
  } satisfies Case<PushImageRequest>,
  "the output of an agent": {
    ours: requestOf(DispatcherServiceService.pushExec),
    generated: requestOf(GeneratedDispatcher.pushExec),
    withBytes: (bytes) => ({ requestId: "", output: stdout(bytes), error: "" }),
    others: [
      { requestId: "1", output: stdout(Buffer.from("text")), error: "" },
      { requestId: "", output: stdout(Buffer.from("text")), error: "it failed" },
    ],
  } satisfies Case<PushExecRequest>,
  "the input to an agent": {
    ours: responseOf(DispatcherServiceService.pushExec),
    generated: responseOf(GeneratedDispatcher.pushExec),
    withBytes: (bytes) => ({ input: stdin(bytes) }),
    others: [{ input: end }],
  } satisfies Case<PushExecResponse>,
  "an image to an agent": {
    ours: responseOf(DispatcherServiceService.receiveImage),
    generated: responseOf(GeneratedDispatcher.receiveImage),
    withBytes: (bytes) => ({ upload: data(bytes) }),
    others: [{ upload: { message: { $case: "config", value: Buffer.from("{}") } } }],
  } satisfies Case<ReceiveImageResponse>,
  "a layer": {
    ours: responseOf(ImageServiceService.readLayer),
    generated: responseOf(GeneratedImage.readLayer),
    withBytes: (bytes) => ({ data: bytes }),
    others: [],
  } satisfies Case<ReadLayerResponse>,
} as unknown as Readonly<Record<string, Case<never>>>;

describe.each(Object.entries(CASES))("%s", (_, { ours, generated, withBytes, others }) => {
  test("our codec and the generated one encode the same message alike, however long it is", () => {
    for (const size of SIZES) {
      const message = withBytes(randomBytes(size));
      const expected = generated.encode(message);
      const messages = [
        ours.decode(ours.encode(message)),
        ours.decode(expected),
        generated.decode(ours.encode(message)),
      ];
      expect(messages.map((each) => generated.encode(each).equals(expected))).toEqual([true, true, true]);
    }
  });

  test("a message without bytes is encoded by the generated codec", () => {
    for (const message of others) {
      const encoded = ours.encode(message);
      expect(encoded.equals(generated.encode(message))).toBe(true);
      expect(ours.decode(encoded)).toEqual(message);
    }
  });

  test("a message whose end is missing is rejected like a damaged one", () => {
    const encoded = ours.encode(withBytes(randomBytes(300)));
    const rejects = (codec: Codec<never>, bytes: Buffer): boolean => {
      try {
        codec.decode(bytes);
        return false;
      } catch {
        return true;
      }
    };
    for (const length of [1, 2, 5, encoded.length - 1]) {
      const part = encoded.subarray(0, length);
      expect(rejects(ours, part)).toBe(rejects(generated, part));
    }
  });
});

test("bytes are decoded without a copy", () => {
  const encoded = ImageServiceService.readLayer.responseSerialize({ data: randomBytes(1_000) });
  const { data: decoded } = ImageServiceService.readLayer.responseDeserialize(encoded);
  expect(decoded.buffer).toBe(encoded.buffer);
});

test("bytes that were allocated or received for a stream are encoded without a copy, once", () => {
  const { responseSerialize: encode, responseDeserialize: decode } = ImageServiceService.readLayer;
  // As large as Node.js's pool of memory, so that it shares its memory with no other buffer.
  const chunk = shortenChunk(allocateChunk(Buffer.poolSize).fill("a"), 5_000);
  const encoded = encode({ data: chunk });
  expect(encoded.buffer).toBe(chunk.buffer);
  const { data: received } = decode(encoded);
  expect(encode({ data: received }).buffer).toBe(chunk.buffer);
  const relayed = DispatcherServiceService.pushExec.responseSerialize({ input: stdin(received) });
  expect(relayed.buffer).not.toBe(chunk.buffer);
  expect(String(received)).toBe("a".repeat(5_000));
});

test("a relay that nests bytes as deeply as the sender passes them on without a copy", () => {
  const { requestSerialize: send, requestDeserialize: receive } = DispatcherServiceService.pushExec;
  const encoded = send({ requestId: "", output: stdout(randomBytes(1_000)), error: "" });
  const { output } = receive(encoded);
  const relayed = ControlServiceService.exec.responseSerialize({ output });
  expect(relayed.buffer).toBe(encoded.buffer);
  expect(GeneratedControl.exec.responseDeserialize(relayed)).toEqual({ output });
});

test("an empty chunk keeps its kind", () => {
  const { decode, encode } = requestOf(ControlServiceService.exec);
  const message: ExecRequest = { message: { $case: "input", value: stdin(empty) } };
  expect(decode(encode(message))).toEqual(message);
});
