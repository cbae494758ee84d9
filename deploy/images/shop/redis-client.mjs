import { connect } from "node:net";

/** Command timeout. A host that lost power does not close its connections. */
const REPLY_TIMEOUT_MS = 500;
const RECONNECT_DELAY_MS = 500;
/** Maximum number of pending commands. Further commands are rejected at once. */
const MAX_PENDING = 1_000;

/** A minimal Redis client for integers and strings. Uses one connection and reconnects after an error. */
export class RedisClient {
  #address;
  #socket;
  #isConnected = false;
  #received = "";
  #pending = [];
  #retry;

  constructor({ host, port }) {
    this.#address = { host, port, noDelay: true };
    this.#connect();
  }

  /** Sends a command and returns Redis's reply. Rejects at once while there is no connection. */
  command(...words) {
    if (!this.#isConnected) return Promise.reject(new Error("redis is not connected"));
    if (this.#pending.length >= MAX_PENDING)
      return Promise.reject(new Error("redis has too many pending commands"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#socket.destroy(new Error("redis does not reply")),
        REPLY_TIMEOUT_MS,
      );
      this.#pending.push({ resolve, reject, timer });
      this.#socket.write(encode(words));
    });
  }

  close() {
    clearTimeout(this.#retry);
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #connect() {
    this.#received = "";
    this.#socket = connect(this.#address);
    // The command timeout also applies to name resolution and connecting.
    this.#socket.setTimeout(REPLY_TIMEOUT_MS, () => this.#isConnected || this.#socket.destroy());
    this.#socket.setEncoding("utf8");
    this.#socket.on("connect", () => {
      this.#isConnected = true;
    });
    this.#socket.on("data", (text) => this.#receive(text));
    this.#socket.on("error", () => undefined); // "close" follows
    this.#socket.on("close", () => {
      this.#isConnected = false;
      for (const { reject, timer } of this.#pending.splice(0)) {
        clearTimeout(timer);
        reject(new Error("lost connection to redis"));
      }
      this.#retry = setTimeout(() => this.#connect(), RECONNECT_DELAY_MS);
    });
  }

  #receive(text) {
    this.#received += text;
    for (let reply = decode(this.#received); reply; reply = decode(this.#received)) {
      this.#received = this.#received.slice(reply.length);
      const command = this.#pending.shift();
      if (!command) return this.#socket.destroy();
      clearTimeout(command.timer);
      if (reply.error) command.reject(new Error(reply.error));
      else command.resolve(reply.value);
    }
  }
}

/** Encodes a command in RESP: an array of strings, each with its length in bytes. */
function encode(words) {
  const parts = words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}

/** Returns the first reply in `text`, or undefined if it is incomplete. Assumes ASCII, as the shop's strings are. */
function decode(text) {
  const lineEnd = text.indexOf("\r\n");
  if (lineEnd < 0) return undefined;
  const line = text.slice(1, lineEnd);
  const length = lineEnd + 2;
  switch (text[0]) {
    case ":":
      return { value: Number(line), length };
    case "-":
      return { error: line, length };
    case "$": {
      const bytes = Number(line);
      if (bytes < 0) return { value: null, length };
      const whole = length + bytes + 2;
      return text.length < whole ? undefined : { value: text.slice(length, length + bytes), length: whole };
    }
    default:
      return { value: line, length };
  }
}
