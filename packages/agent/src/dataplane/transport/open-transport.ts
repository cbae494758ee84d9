import type { Logger } from "pino";
import { loadTcpBinding } from "../../runtime/tcp-binding.js";
import { createNetTransport } from "./net-transport.js";
import { createRawTransport } from "./raw-transport.js";
import type { ByteStream, Listening, StreamHandler, Transport } from "./transport.js";

/** The test takes a few milliseconds; on an overloaded host, longer. */
const TEST_TIMEOUT_MS = 2_000;
const CHUNK_BYTES = 65_536;
/** More than the socket buffers of both sides can hold. */
const MAX_CHUNKS = 1_024;

/**
 * Returns the raw transport when it passes a test over loopback, and the net transport otherwise. The raw transport
 * relies on an undocumented interface of Node, so each start of the process verifies that it works.
 */
export async function openTransport(log: Logger, binding = loadTcpBinding()): Promise<Transport> {
  try {
    if (binding === undefined) throw new Error(`Node ${process.version} has no compatible TCP binding`);
    const transport = createRawTransport(binding);
    await testTransport(transport);
    return transport;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warn({ reason }, "TCP binding is not usable; falling back to node:net");
    return createNetTransport();
  }
}

/**
 * Sends data both ways over loopback, with a full socket buffer, a half-close and a reset.
 * @throws Error with the step that failed
 */
export async function testTransport(transport: Transport): Promise<void> {
  const opened: { close(): void }[] = [];
  let step = "listen";
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("timed out")), TEST_TIMEOUT_MS);
  });
  const run = async (): Promise<void> => {
    const accepted = new Queue<ByteStream>();
    const server = await transport.listen({
      address: "127.0.0.1",
      port: 0,
      onConnection: (stream) => accepted.push(stream),
      onAcceptError: (code) => accepted.fail(new Error(code)),
    });
    opened.push(server);
    const pair = async (): Promise<readonly [TestStream, TestStream]> => {
      const client = await connect(transport, portOf(server));
      opened.push(client);
      const peer = await accepted.next();
      opened.push(peer);
      return [new TestStream(client), new TestStream(peer)];
    };
    step = "connect";
    const [client, peer] = await pair();
    expect(client.stream.addresses()?.localPort === peer.stream.addresses()?.remotePort, "wrong addresses");
    step = "write";
    client.stream.write(Buffer.from("ping"));
    expect((await peer.read(4)) === "ping", "wrong data");
    peer.stream.write(Buffer.from("pong"));
    expect((await client.read(4)) === "pong", "wrong data");
    step = "write to a full socket";
    peer.stream.pause();
    const sent = client.fill();
    peer.stream.read(peer);
    await client.written.next();
    await peer.read(sent);
    step = "half-close";
    client.stream.end();
    await peer.ended.next();
    peer.stream.write(Buffer.from("rest"));
    expect((await client.read(4)) === "rest", "wrong data");
    peer.stream.end();
    await client.ended.next();
    step = "reset";
    const [resetting, reset] = await pair();
    resetting.stream.reset();
    expect((await reset.failed.next()) === "ECONNRESET", "wrong error");
  };
  try {
    await Promise.race([run(), timeout]);
  } catch (error) {
    throw new Error(`${step}: ${error instanceof Error ? error.message : error}`, { cause: error });
  } finally {
    clearTimeout(timer);
    for (const each of opened) each.close();
  }
}

/** A stream that stores the data it reads, for the test. */
class TestStream implements StreamHandler {
  readonly stream: ByteStream;
  readonly ended = new Queue<undefined>();
  readonly written = new Queue<undefined>();
  readonly failed = new Queue<string>();
  readonly #arrived = new Queue<undefined>();
  #text = "";

  constructor(stream: ByteStream) {
    this.stream = stream;
    stream.read(this);
  }

  /** Returns the next bytes as text. */
  async read(bytes: number): Promise<string> {
    while (this.#text.length < bytes) await this.#arrived.next();
    const text = this.#text.slice(0, bytes);
    this.#text = this.#text.slice(bytes);
    return text;
  }

  /** Writes until a chunk is queued. Returns the number of bytes. */
  fill(): number {
    const chunk = Buffer.alloc(CHUNK_BYTES, "x");
    for (let count = 1; count <= MAX_CHUNKS; count += 1) {
      const outcome = this.stream.write(chunk);
      if (outcome === "queued") return count * CHUNK_BYTES;
      expect(outcome === "written", "write failed");
    }
    throw new Error("no write was queued");
  }

  onData(chunk: Uint8Array): void {
    this.#text += Buffer.from(chunk).toString("latin1");
    this.#arrived.push(undefined);
  }

  onEnd(): void {
    this.ended.push(undefined);
  }

  onWritten(): void {
    this.written.push(undefined);
  }

  onError(code: string): void {
    this.failed.push(code);
  }
}

/** Delivers values to one reader, in order. */
class Queue<Value> {
  readonly #values: Value[] = [];
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  push(value: Value): void {
    this.#values.push(value);
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  async next(): Promise<Value> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#values.length > 0) return this.#values.shift() as Value;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function connect(transport: Transport, port: number): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const stream = transport.connect({
      address: "127.0.0.1",
      port,
      onConnect: (code) => {
        if (code === undefined) resolve(stream);
        else reject(new Error(code));
      },
    });
  });
}

function portOf({ handle }: Listening): number {
  const name: { port?: number } = {};
  const getsockname: unknown = Reflect.get(Object(handle), "getsockname");
  if (typeof getsockname === "function") Reflect.apply(getsockname, handle, [name]);
  if (name.port === undefined) throw new Error("the listening socket has no port");
  return name.port;
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
