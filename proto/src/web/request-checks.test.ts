import { expect, test } from "vitest";
import { assertSameOrigin, type CheckedRequest } from "./request-checks.js";

const OPTIONS = { scheme: "https", hostNames: new Set(["h1"]) } as const;

function check(over: Partial<CheckedRequest>): string {
  const request: CheckedRequest = {
    method: "GET",
    headers: { host: "10.0.0.1:7406" },
    isWebSocket: false,
    ...over,
  };
  try {
    assertSameOrigin(request, OPTIONS);
    return "accepted";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test.each([
  [{ host: "10.0.0.1:7406" }],
  [{ host: "[::1]:7406" }],
  [{ host: "localhost" }],
  [{ host: "H1:7406" }],
  [{ ":authority": "10.0.0.1:7406" }],
  [{ host: "h1:7406", origin: "https://h1:7406", "sec-fetch-site": "same-origin" }],
  [{ host: "h1:7406", "sec-fetch-site": "none" }],
])("assertSameOrigin accepts %j", (headers) => {
  expect(check({ headers })).toBe("accepted");
});

test.each([
  [{}, 'the host "" is not a name of this server'],
  [{ host: "attacker.example" }, "not a name of this server"],
  [{ host: "10.0.0.1.attacker.example:7406" }, "not a name of this server"],
  [{ host: "user@10.0.0.1" }, "not a name of this server"],
  [{ host: "10.0.0.1:7406", ":authority": "attacker.example" }, "not a name of this server"],
  [{ host: "h1:7406", origin: "http://h1:7406" }, "another origin"],
  [{ host: "h1:7406", origin: "https://h1" }, "another origin"],
  [{ host: "h1:7406", origin: "null" }, "another origin"],
  [{ host: "h1:7406", "sec-fetch-site": "cross-site" }, "another site"],
])("assertSameOrigin refuses %j", (headers, message) => {
  expect(check({ headers })).toContain(message);
});

test("assertSameOrigin requires the header of the API for requests that can change something", () => {
  const headers = { host: "h1:7406" };
  expect(check({ method: "POST", headers })).toContain(
    "the header X-Berth-Api is missing; send X-Berth-Api: 1",
  );
  expect(check({ method: "DELETE", headers })).toContain("X-Berth-Api");
  expect(check({ method: "POST", headers: { ...headers, "x-berth-api": "1" } })).toBe("accepted");
});

test("assertSameOrigin requires an origin for WebSockets, to which CORS does not apply", () => {
  const headers = { host: "h1:7406" };
  expect(check({ isWebSocket: true, headers })).toContain("another origin");
  expect(check({ isWebSocket: true, headers: { ...headers, origin: "https://h1:7406" } })).toBe("accepted");
});
