import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRequest } from "./wire-codec.js";

const web = {
  protocol: "tcp",
  address: "",
  port: 8080,
  service: "web",
  endpoints: [{ id: "t1", address: "10.0.0.1", port: 80 }],
  draining: [],
};

describe("parseRequest", () => {
  it("reports a listener that makes no sense and takes the others", () => {
    const request = parseRequest({
      kind: "apply",
      id: 1,
      table: { version: 2, listeners: [web, { ...web, port: 70_000 }] },
    });
    expect(request).toMatchObject({
      kind: "apply",
      table: { version: 2, listeners: [web] },
      invalid: [{ port: 70_000, service: "web", code: "EINVAL" }],
    });
  });

  it("does not take a name for an endpoint's address", () => {
    const named = { ...web, endpoints: [{ id: "t1", address: "db.internal", port: 80 }] };
    expect(parseRequest({ kind: "apply", id: 1, table: { version: 2, listeners: [named] } })).toMatchObject({
      table: { listeners: [] },
      invalid: [{ code: "EINVAL" }],
    });
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.anything(), (message) => void parseRequest(message)));
    fc.assert(fc.property(fc.jsonValue(), (table) => void parseRequest({ kind: "apply", id: 1, table })));
  });
});
