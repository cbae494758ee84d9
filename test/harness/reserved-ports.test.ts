import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { reserveTcpPort, reserveUdpPort } from "./reserved-ports.js";

const portOf = (socket: Socket | Server): number => (socket.address() as AddressInfo).port;

it("a reserved TCP port is never assigned to a socket that requests any free port", async () => {
  const reserved = new Set(Array.from({ length: 50 }, reserveTcpPort));
  expect(reserved.size).toBe(50);
  const servers = Array.from({ length: 500 }, () => createServer().listen(0));
  onTestFinished(() => {
    for (const server of servers) server.close();
  });
  await Promise.all(servers.map((server) => once(server, "listening")));
  expect(servers.map(portOf).filter((port) => reserved.has(port))).toEqual([]);
});

it("a server can listen on a reserved TCP port", async () => {
  const port = reserveTcpPort();
  const server = createServer().listen(port);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  expect(portOf(server)).toBe(port);
});

it("a reserved UDP port can be bound, but is never assigned as a free port", async () => {
  const reserved = new Set(await Promise.all(Array.from({ length: 50 }, reserveUdpPort)));
  expect(reserved.size).toBe(50);
  const sockets = Array.from({ length: 500 }, () => createSocket("udp4").bind(0));
  const own = [...reserved].map((port) => createSocket("udp4").bind(port));
  onTestFinished(() => {
    for (const socket of [...sockets, ...own]) socket.close();
  });
  await Promise.all([...sockets, ...own].map((socket) => once(socket, "listening")));
  expect(sockets.map(portOf).filter((port) => reserved.has(port))).toEqual([]);
});
