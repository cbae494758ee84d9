// Runs inside a network namespace: serves and asks there as told on stdin, one JSON object a line, answers on stdout.
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const servers = new Map();
const connections = new Map();

const commands = {
  /** Says its name and the client's address to whoever connects, then echoes. */
  async serve({ protocol, port, name }) {
    if (protocol === "udp") {
      const socket = createSocket("udp4");
      socket.on("message", (_, from) => socket.send(`${name} ${from.address}`, from.port, from.address));
      await new Promise((resolve) => socket.bind(port, resolve));
      servers.set(`udp/${port}`, () => socket.close());
      return {};
    }
    const sockets = new Set();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
      socket.write(`${name} ${socket.remoteAddress.replace("::ffff:", "")}`);
      socket.on("data", (chunk) => socket.write(chunk));
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
  close({ protocol, port }) {
    servers.get(`${protocol}/${port}`)();
    servers.delete(`${protocol}/${port}`);
    return {};
  },
  /** So many connections, some at a time; who answered each, and after how long. */
  async ask({ host, port, count = 1, parallel = 1, timeoutMs = 5_000, from }) {
    const answers = [];
    let started = 0;
    const worker = async () => {
      while (started++ < count) answers.push(await askOnce(host, port, timeoutMs, from));
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return { answers };
  },
  /** A datagram from a port of ours. */
  async askUdp({ host, port, fromPort = 0, timeoutMs = 1_000 }) {
    const socket = createSocket("udp4");
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
  /** A connection that stays; `say` writes into it and waits for the echo. */
  async open({ connection, host, port }) {
    const socket = connect({ host, port });
    const state = { socket, text: "", end: undefined };
    socket.on("data", (chunk) => {
      state.text += chunk;
    });
    socket.on("error", (error) => {
      state.end = error.code;
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
