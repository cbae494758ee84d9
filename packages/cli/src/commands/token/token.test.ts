import { BerthError, JoinKind, JoinToken } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const TOKEN = `berth-node-${"0".repeat(64)}-${"1".repeat(32)}-abcdef`;
const EXPIRES_AT_MS = Date.UTC(2100, 0, 1);

function record(change: Parameters<typeof JoinToken.fromPartial>[0] = {}): JoinToken {
  return JoinToken.fromPartial({
    id: "3f9a1c4b5d6e",
    kind: JoinKind.NODE,
    usesLeft: 1,
    createdAtMs: Date.UTC(2026, 0, 1),
    expiresAtMs: EXPIRES_AT_MS,
    ...change,
  });
}

/** Returns a server that records the requests for tokens, and answers with a token. */
function issuer(): { handlers: FakeControlHandlers; requests: object[] } {
  const requests: object[] = [];
  const handlers: FakeControlHandlers = {
    getCluster: async () => ({
      serverVersion: "1",
      protocolVersion: 1,
      oldestProtocolVersion: 1,
      schemaVersion: 1,
      supportedSchemaVersion: 1,
      leaderAddress: "10.0.0.1:7400",
      epoch: 1,
      nowMs: 1,
      servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
    }),
    createJoinToken: async (request) => {
      requests.push(request);
      const { kind, hostname, requiresApproval, uses } = request;
      return { token: TOKEN, record: record({ kind, subject: hostname, requiresApproval, usesLeft: uses }) };
    },
  };
  return { handlers, requests };
}

describe("token create", () => {
  test("prints only the token when the output is not a terminal, and with -q", async () => {
    const { handlers, requests } = issuer();
    expect(await berth("token create", handlers)).toMatchObject({ code: 0, out: `${TOKEN}\n`, err: "" });
    expect((await berth("token create -q", handlers, { isTty: true })).out).toBe(`${TOKEN}\n`);
    expect(requests[0]).toEqual({
      kind: JoinKind.NODE,
      ttlMs: 3_600_000,
      uses: 1,
      hostname: "",
      requiresApproval: false,
      replaceOthers: false,
      labels: {},
    });
  });

  test("shows the command for the host on a terminal", async () => {
    const { handlers, requests } = issuer();
    const line = "token create --name host-4 --approve --uses 2 --ttl 2d";
    expect((await berth(line, handlers, { isTty: true })).out).toMatchInlineSnapshot(`
      "To add the host host-4 as a node, run this command on it and enter the token:

          berth agent join 10.0.0.1:7400

      Token, valid for 2 uses until 2100-01-01T00:00:00.000Z:

          berth-node-0000000000000000000000000000000000000000000000000000000000000000-11111111111111111111111111111111-abcdef

      The node waits until you run: berth node accept NODE
      "
    `);
    expect(requests).toMatchObject([
      { hostname: "host-4", requiresApproval: true, uses: 2, ttlMs: 172_800_000 },
    ]);
    const server = await berth("token create --role server", handlers, { isTty: true });
    expect(server.out).toContain("\n    berth server join 10.0.0.1:7400\n");
  });

  test("-o json has the token, its limits and the servers", async () => {
    const { out } = await berth("token create -o json", issuer().handlers);
    expect(JSON.parse(out)).toMatchObject({
      token: TOKEN,
      id: "3f9a1c4b5d6e",
      role: "node",
      name: "",
      usesLeft: 1,
      requiresApproval: false,
      expiresAtMs: EXPIRES_AT_MS,
      servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
    });
  });

  test.each([
    ["--ttl forever", "--ttl"],
    ["--ttl 0", "--ttl"],
    ["--uses 0", "--uses"],
    ["--role user", "--role"],
  ])("token create rejects %s", async (options, option) => {
    const { code, out, err } = await berth(`token create ${options}`, issuer().handlers);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(option);
  });
});

test("token rotate replaces the other tokens of its role", async () => {
  const { handlers, requests } = issuer();
  expect((await berth("token rotate --role server", handlers)).out).toBe(`${TOKEN}\n`);
  expect(requests).toMatchObject([{ kind: JoinKind.SERVER, replaceOthers: true }]);
});

describe("token ls", () => {
  const handlers: FakeControlHandlers = {
    listJoinTokens: async () => ({
      tokens: [
        record({ expiresAtMs: Date.now() + 90.5 * 60_000 }),
        record({
          id: "400000000000",
          subject: "host-4",
          requiresApproval: true,
          usesLeft: 50,
          expiresAtMs: Date.now() + 5.5 * 86_400_000,
        }),
        record({
          id: "500000000000",
          kind: JoinKind.USER,
          subject: "alice",
          expiresAtMs: Date.now() + 90_000,
        }),
      ],
    }),
  };

  test("token ls prints a table", async () => {
    expect((await berth("token ls", handlers)).out).toMatchInlineSnapshot(`
      "ID             ROLE   NAME     USES LEFT   EXPIRES             APPROVAL
      3f9a1c4b5d6e   node            1           in 2 hours
      400000000000   node   host-4   50          in 5 days           required
      500000000000   user   alice    1           in about a minute
      "
    `);
  });

  test("-q prints IDs, and -o json has no secrets", async () => {
    expect((await berth("token ls -q", handlers)).out).toBe("3f9a1c4b5d6e\n400000000000\n500000000000\n");
    const [, second] = JSON.parse((await berth("token ls -o json", handlers)).out);
    expect(Object.keys(second)).toEqual([
      ...["id", "role", "name", "usesLeft", "requiresApproval", "labels", "createdAtMs", "expiresAtMs"],
    ]);
  });

  test("completes the IDs of tokens", async () => {
    expect((await berth("__complete token rm 4", handlers)).out).toBe("400000000000\n");
    expect((await berth("__complete token create --role s")).out).toBe("server\n");
  });
});

test("token rm removes tokens one by one, and stops at the first error", async () => {
  const removeJoinToken: FakeControlHandlers["removeJoinToken"] = async ({ token }) => {
    if (token === "x") throw new BerthError({ code: "BERTH_NOT_FOUND", message: 'join token "x" not found' });
    return { id: `${token}9a1c` };
  };
  expect(await berth("token rm 3f x 4f", { removeJoinToken })).toEqual({
    code: 1,
    out: "3f9a1c\n",
    err: 'error: join token "x" not found\n(BERTH_NOT_FOUND)\n',
  });
  const { out } = await berth("token rm 3f -o json", { removeJoinToken });
  expect(JSON.parse(out)).toEqual({ removed: ["3f9a1c"] });
});
