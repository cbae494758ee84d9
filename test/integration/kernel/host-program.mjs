// Runs inside a network namespace. Reads commands from stdin and writes replies to stdout, one JSON object per line.
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const servers = new Map();
const connections = new Map();
const held = [];

const commands = {
  /**
   * Starts a server that sends its name and the client's address, then echoes. With `thinkMs`, it keeps a half-closed
   * connection open for that time after the client's FIN, then sends "thought" and its own FIN.
   */
  async serve({ protocol, port, name, thinkMs }) {
    if (protocol === "udp") {
      const socket = createSocket("udp4");
      socket.on("message", (_, from) => socket.send(`${name} ${from.address}`, from.port, from.address));
      await new Promise((resolve) => socket.bind(port, resolve));
      servers.set(`udp/${port}`, () => socket.close());
      return {};
    }
    const sockets = new Set();
    const server = createServer({ allowHalfOpen: thinkMs !== undefined }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      socket.write(`${name} ${socket.remoteAddress.replace("::ffff:", "")}`);
      socket.on("data", (chunk) => socket.write(chunk));
      if (thinkMs !== undefined) socket.on("end", () => setTimeout(() => socket.end("thought"), thinkMs));
    });
    await new Promise((resolve, reject) =>
      server.once("error", reject).listen({ port, backlog: 4096 }, resolve),
    );
    servers.set(`tcp/${port}`, () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return {};
  },
  /** Starts an echo server that sends the digest of its input after the client's FIN. */
  async serveCopies({ port }) {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const digest = createHash("sha256");
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        digest.update(chunk);
        if (!socket.write(chunk)) {
          socket.pause();
          socket.once("drain", () => socket.resume());
        }
      });
      socket.on("end", () => socket.end(digest.digest()));
    });
    await new Promise((resolve, reject) => server.once("error", reject).listen(port, resolve));
    servers.set(`tcp/${port}`, () => server.close());
    return {};
  },
  /** Sends `bytes` to an echo server with digest. Returns the digests of the bytes sent, received there and echoed. */
  async copy({ host, port, bytes }) {
    const chunk = randomBytes(65_536);
    const [sent, back] = [createHash("sha256"), createHash("sha256")];
    const socket = connect({ host, port, allowHalfOpen: true });
    let left = bytes;
    let received = 0;
    let tail = Buffer.alloc(0);
    socket.on("data", (data) => {
      const own = data.subarray(0, bytes - received);
      back.update(own);
      received += own.length;
      tail = Buffer.concat([tail, data.subarray(own.length)]);
    });
    const send = () => {
      while (left > 0) {
        const part = chunk.subarray(0, left);
        left -= part.length;
        chunk.writeUInt32LE(left, 0);
        sent.update(part);
        // A copy, because the chunk changes before it is written.
        if (!socket.write(Buffer.from(part))) return;
      }
      socket.end();
    };
    socket.on("connect", send);
    socket.on("drain", () => left > 0 && send());
    const end = await new Promise((resolve) => {
      socket.on("error", (error) => resolve(error.code));
      socket.on("end", () => resolve("ended"));
    });
    socket.destroy();
    return { end, sent: sent.digest("hex"), there: tail.toString("hex"), back: back.digest("hex") };
  },
  close({ protocol, port }) {
    servers.get(`${protocol}/${port}`)();
    servers.delete(`${protocol}/${port}`);
    return {};
  },
  /** Opens `count` connections, `parallel` at a time. Returns the first data and the duration of each. */
  async ask({ host, port, count = 1, parallel = 1, timeoutMs = 5_000, from }) {
    const answers = [];
    let started = 0;
    const worker = async () => {
      while (started++ < count) answers.push(await askOnce(host, port, timeoutMs, from));
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return { answers };
  },
  /** Sends a datagram from a given port. Returns the answer. */
  async askUdp({ host, port, fromPort = 0, timeoutMs = 1_000 }) {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    await new Promise((resolve) => socket.bind(fromPort, resolve));
    const text = await new Promise((resolve) => {
      setTimeout(() => resolve("TIMEOUT"), timeoutMs);
      socket.on("message", (message) => resolve(String(message)));
      socket.on("error", (error) => resolve(error.code));
      socket.send("?", port, host);
    });
    socket.close();
    return { text };
  },
  /** Opens a named connection. `say` sends data and waits for the echo; `finish` sends FIN and waits for the end. */
  async open({ connection, host, port, from }) {
    const socket = connect({ host, port, localAddress: from, allowHalfOpen: true });
    const state = { socket, text: "", end: undefined };
    socket.on("data", (chunk) => {
      state.text += chunk;
    });
    socket.on("error", (error) => {
      state.end = error.code;
    });
    socket.on("end", () => {
      state.isWhole = true;
      socket.end();
    });
    socket.on("close", () => {
      state.end ??= "closed";
    });
    connections.set(connection, state);
    await until(() => state.text !== "" || state.end !== undefined, 5_000);
    return { text: state.text, end: state.end };
  },
  async say({ connection, text, timeoutMs = 2_000 }) {
    const state = connections.get(connection);
    const before = state.text.length;
    state.socket.write(text);
    await until(() => state.text.length >= before + text.length || state.end !== undefined, timeoutMs);
    return { text: state.text.slice(before), end: state.end };
  },
  /** Closes the held connections, and opens `count` new ones that have each received data. */
  async hold({ host, port, count, parallel = 100 }) {
    await commands.letGo();
    let opened = 0;
    const worker = async () => {
      while (opened < count) {
        opened += 1;
        held.push(await openHeld(host, port));
      }
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return {};
  },
  /** Exchanges messages on the first `count` held connections for a time. Returns the number of exchanges. */
  async talk({ count, forMs }) {
    const endMs = performance.now() + forMs;
    const talker = async (socket) => {
      let rounds = 0;
      for (; performance.now() < endMs; rounds += 1) {
        const echo = new Promise((resolve, reject) => {
          socket.once("data", resolve);
          socket.once("close", () => reject(new Error("a connection ended")));
        });
        socket.write("still there");
        await echo;
        socket.removeAllListeners("close");
      }
      return rounds;
    };
    const rounds = await Promise.all(held.slice(0, count).map(talker));
    return { rounds: rounds.reduce((sum, each) => sum + each, 0) };
  },
  async letGo() {
    await Promise.all(
      held.splice(0).map(
        (socket) =>
          new Promise((resolve) => {
            socket.once("close", resolve);
            socket.end();
          }),
      ),
    );
    return {};
  },
  /** Sends FIN and waits for the end. `isWhole` is true when the peer has sent FIN as well. */
  async finish({ connection, timeoutMs = 10_000 }) {
    const state = connections.get(connection);
    const before = state.text.length;
    state.socket.end();
    await until(() => state.end !== undefined, timeoutMs);
    return { text: state.text.slice(before), isWhole: state.isWhole === true };
  },
};

function askOnce(host, port, timeoutMs, from) {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(from === undefined ? {} : { localAddress: from }) });
    const finish = (text) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, ms: Math.round(performance.now() - startedMs) });
    };
    const timer = setTimeout(() => finish("TIMEOUT"), timeoutMs);
    socket.on("data", (chunk) => finish(String(chunk)));
    socket.on("error", (error) => finish(error.code));
    socket.on("close", () => finish("CLOSED"));
  });
}

function openHeld(host, port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.once("error", reject);
    socket.once("data", () => {
      socket.removeListener("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
    // Keep reading, because an unread socket reports no end.
    socket.on("data", () => {});
  });
}

async function until(check, timeoutMs) {
  const deadlineMs = performance.now() + timeoutMs;
  while (!check() && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 5));
}

const input = createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));
input.on("line", async (line) => {
  const { id, command, ...options } = JSON.parse(line);
  const reply = await Promise.resolve()
    .then(() => commands[command](options))
    .catch((error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify({ ...reply, reply: id })}\n`);
});
process.stdout.write(`${JSON.stringify({ reply: 0 })}\n`);
