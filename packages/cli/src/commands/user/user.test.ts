import { User, UserRole } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const INVITATION = `berth-user-${"0".repeat(64)}-${"1".repeat(32)}-abcdef`;

describe("user invite", () => {
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
    inviteUser: async (request) => {
      requests.push(request);
      const { name, role, stacks } = request;
      return { invitation: INVITATION, user: User.fromPartial({ name, role, stacks, createdAtMs: 1 }) };
    },
  };

  test("prints only the invitation when the output is not a terminal, and with -q", async () => {
    const line = "user invite alice --role deployer --stack shop-*";
    expect(await berth(line, handlers)).toMatchObject({ code: 0, out: `${INVITATION}\n`, err: "" });
    expect((await berth(`${line} -q`, handlers, { isTty: true })).out).toBe(`${INVITATION}\n`);
    expect(requests[0]).toEqual({
      name: "alice",
      role: UserRole.DEPLOYER,
      stacks: "shop-*",
      ttlMs: 86_400_000,
    });
  });

  test("shows the command for the user on a terminal", async () => {
    const { out } = await berth("user invite alice --role admin --ttl 2h", handlers, { isTty: true });
    expect(out).toMatchInlineSnapshot(`
      "Send the invitation to alice over a secure channel. To accept it, run this command and enter the invitation:

          berth context create NAME --server 10.0.0.1:7400,10.0.0.2:7400 --invitation-file -

      Invitation, valid once within 2h:

          berth-user-0000000000000000000000000000000000000000000000000000000000000000-11111111111111111111111111111111-abcdef
      "
    `);
  });

  test("-o json has the invitation, the user and the servers", async () => {
    const { out } = await berth("user invite alice --role viewer -o json", handlers);
    expect(JSON.parse(out)).toMatchObject({
      invitation: INVITATION,
      user: { name: "alice", role: "viewer", stacks: "" },
      servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
    });
  });

  test("user invite needs a role", async () => {
    const { code, err } = await berth("user invite alice", handlers);
    expect(code).toBe(2);
    expect(err).toContain("--role");
  });
});

describe("user ls", () => {
  const handlers: FakeControlHandlers = {
    listUsers: async () => ({
      users: [
        User.fromPartial({
          name: "alice",
          role: UserRole.ADMIN,
          certificateName: "alice.x1y2z3",
          createdAtMs: Date.now() - 3 * 86_400_000,
          joinedAtMs: Date.now() - 2.5 * 86_400_000,
        }),
        User.fromPartial({
          name: "ci",
          role: UserRole.DEPLOYER,
          stacks: "shop-*",
          createdAtMs: Date.now() - 90_000,
        }),
      ],
    }),
  };

  test("user ls prints a table", async () => {
    expect((await berth("user ls", handlers)).out).toMatchInlineSnapshot(`
      "NAME    ROLE       STACKS   CREATED              JOINED
      alice   admin      *        3 days ago           2 days ago
      ci      deployer   shop-*   about a minute ago   never
      "
    `);
  });

  test("-q prints names, and -o json the name in certificates", async () => {
    expect((await berth("user ls -q", handlers)).out).toBe("alice\nci\n");
    const [alice] = JSON.parse((await berth("user ls -o json", handlers)).out);
    expect(alice).toMatchObject({ name: "alice", role: "admin", certificateName: "alice.x1y2z3" });
  });

  test("completes the names of users", async () => {
    expect((await berth("__complete user rm al", handlers)).out).toBe("alice\n");
  });
});

test("user rm removes users", async () => {
  const removeUser: FakeControlHandlers["removeUser"] = async ({ name }) => ({ name });
  expect(await berth("user rm alice bob", { removeUser })).toEqual({ code: 0, out: "alice\nbob\n", err: "" });
  expect(JSON.parse((await berth("user rm alice -o json", { removeUser })).out)).toEqual({
    removed: ["alice"],
  });
});
