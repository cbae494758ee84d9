// Tests a transport at the start of the ingress process, before it serves clients.
import { raceSignal } from "../../runtime/race-signal.js";
import type { ByteStream, StreamHandler, Transport } from "./transport.js";

/** Timeout of the test, which normally takes a few milliseconds. */
const TIMEOUT_MS = 2_000;
const CHUNK_BYTES = 65_536;
/** Maximum number of written chunks: more than the socket buffers of both sides can hold. */
const MAX_CHUNKS = 1_024;

/** The steps on one connection, by the name that an error gives. */
const STEPS: Readonly<Record<string, (client: TestStream, peer: TestStream) => Promise<void>>> = {
  addresses: testAddresses,
  write: testWrite,
  "write to a full socket": testFullSocket,
  "half-close": testHalfClose,
};

/**
 * Sends data both ways over loopback, with a full socket buffer, a half-close and a reset.
 *
 * @throws Error with the step that failed
 */
export async function testTransport(transport: Transport): Promise<void> {
  const loopback = new Loopback(transport);
  let step = "";
  const runSteps = async (): Promise<void> => {
    step = "listen";
    await loopback.listen();
    step = "connect";
    const [client, peer] = await loopback.connect();
    for (const [name, run] of Object.entries(STEPS)) {
      step = name;
      await run(client, peer);
    }
    step = "reset";
    await testReset(...(await loopback.connect()));
  };
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Error("timed out")), TIMEOUT_MS);
  try {
    await raceSignal(runSteps(), timeout.signal);
  } catch (error) {
    throw new Error(`${step}: ${error instanceof Error ? error.message : error}`, { cause: error });
  } finally {
    clearTimeout(timer);
    loopback.close();
  }
}

async function testAddresses(client: TestStream, peer: TestStream): Promise<void> {
  const clientAddresses = client.stream.addresses();
  const peerAddresses = peer.stream.addresses();
  expect(clientAddresses?.localPort === peerAddresses?.remotePort, "wrong addresses");
}

async function testWrite(client: TestStream, peer: TestStream): Promise<void> {
  client.stream.write(Buffer.from("ping"));
  expect((await peer.take(4)) === "ping", "wrong data");
  peer.stream.write(Buffer.from("pong"));
  expect((await client.take(4)) === "pong", "wrong data");
}

async function testFullSocket(client: TestStream, peer: TestStream): Promise<void> {
  peer.stream.pause();
  const filledBytes = client.fill();
  peer.stream.read(peer);
  await client.written.next();
  await peer.take(filledBytes);
}

async function testHalfClose(client: TestStream, peer: TestStream): Promise<void> {
  client.stream.end();
  await peer.ended.next();
  peer.stream.write(Buffer.from("rest"));
  expect((await client.take(4)) === "rest", "wrong data");
  peer.stream.end();
  await client.ended.next();
}

async function testReset(client: TestStream, peer: TestStream): Promise<void> {
  client.stream.reset();
  expect((await peer.failed.next()) === "ECONNRESET", "wrong error");
}

/** Connections of a transport to itself. */
class Loopback {
  readonly #transport: Transport;
  readonly #opened: { close(): void }[] = [];
  readonly #accepted = new Queue<ByteStream>();
  #port = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async listen(): Promise<void> {
    const server = await this.#transport.listen({
      address: "127.0.0.1",
      port: 0,
      onConnection: (stream) => this.#accepted.push(stream),
      onAcceptError: (code) => this.#accepted.fail(new Error(code)),
    });
    this.#opened.push(server);
    this.#port = server.port;
  }

  /** Returns both ends of a new connection. */
  async connect(): Promise<readonly [client: TestStream, peer: TestStream]> {
    const client = await connect(this.#transport, this.#port);
    this.#opened.push(client);
    const peer = await this.#accepted.next();
    this.#opened.push(peer);
    return [new TestStream(client), new TestStream(peer)];
  }

  close(): void {
    for (const opened of this.#opened) opened.close();
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

  /** Removes the next bytes from the received data, and returns them as text. */
  async take(bytes: number): Promise<string> {
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

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
