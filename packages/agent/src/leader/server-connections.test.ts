import type { RpcTransport } from "@berth/proto/rpc";
import { beforeEach, expect, it } from "vitest";
import { ServerConnections } from "./server-connections.js";

let opened: string[];
let closed: string[];
let connections: ServerConnections;

beforeEach(() => {
  opened = [];
  closed = [];
  const connect = (_: unknown, { address }: { readonly address: string }) => {
    opened.push(address);
    return { address, calls: {}, close: () => closed.push(address) };
  };
  connections = new ServerConnections({ connect } as unknown as RpcTransport);
});

it("calls a server that has answered over the same connection again", () => {
  const calls = connections.callsTo("a:1");
  connections.recordOutcome("a:1", "answered");
  expect(connections.callsTo("a:1")).toBe(calls);
  expect([opened, closed]).toEqual([["a:1"], []]);
});

it("closes a connection that has ended", () => {
  connections.callsTo("a:1");
  connections.recordOutcome("a:1", "ended");
  connections.callsTo("a:1");
  expect([opened, closed]).toEqual([["a:1", "a:1"], ["a:1"]]);
});

it("closes a connection after three attempts without an answer in a row", () => {
  const outcomes = ["unanswered", "unanswered", "answered", "unanswered", "unanswered"] as const;
  for (const outcome of outcomes) {
    connections.callsTo("a:1");
    connections.recordOutcome("a:1", outcome);
  }
  expect(closed).toEqual([]);
  connections.recordOutcome("a:1", "unanswered");
  expect([opened, closed]).toEqual([["a:1"], ["a:1"]]);
});

it("closes the connections to all servers but the leader", () => {
  for (const address of ["a:1", "b:1", "c:1"]) connections.callsTo(address);
  connections.closeOthers("b:1");
  expect(closed).toEqual(["a:1", "c:1"]);
  connections.closeAll();
  expect(closed).toEqual(["a:1", "c:1", "b:1"]);
});

it("closes the connection that was used least recently when there are more than 32", () => {
  for (let server = 0; server < 32; server += 1) connections.callsTo(`s${server}:1`);
  connections.callsTo("s0:1");
  connections.callsTo("new:1");
  expect(closed).toEqual(["s1:1"]);
});
