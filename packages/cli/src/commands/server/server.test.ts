import { BerthError, ListServersResponse, ServerStatus, Server_State as State } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const HOUR_MS = 60 * 60_000;

function status(host: number, over: Parameters<typeof ServerStatus.fromPartial>[0] = {}): ServerStatus {
  const nowMs = Date.now();
  return ServerStatus.fromPartial({
    version: "0.1.0",
    certificateExpiresAtMs: nowMs + 60.5 * HOUR_MS,
    etcd: { id: `${host}`, name: `berth-10.0.0.${host}`, hasStarted: true, isRunning: true },
    ...over,
    server: {
      id: `server${host}`,
      hostname: `host-${host}`,
      address: `10.0.0.${host}:7400`,
      state: State.UP,
      stateSinceMs: nowMs - 3.1 * HOUR_MS,
      createdAtMs: 1,
      ...over.server,
    },
  });
}

const DOWN = { version: "", certificateExpiresAtMs: 0, server: { state: State.DOWN } };

function cluster(...servers: readonly ServerStatus[]): FakeControlHandlers {
  const response = ListServersResponse.fromPartial({ servers: [...servers], voters: 3, runningVoters: 2 });
  return { listServers: async () => response };
}

describe("server ls", () => {
  const handlers = cluster(
    status(1, { isLeader: true }),
    status(2, { etcd: { id: "2", name: "b", hasStarted: true, isRunning: true, isLearner: true } }),
    status(3, { ...DOWN, etcd: { id: "3", name: "c", hasStarted: true, isRunning: false } }),
    ServerStatus.fromPartial({
      server: { hostname: "berth-10.0.0.9", address: "10.0.0.9" },
      etcd: { id: "9", name: "berth-10.0.0.9", hasStarted: true },
    }),
  );

  test("server ls shows the role, the etcd member and the certificate of each server, and warns before the quorum is lost", async () => {
    const { code, out, err } = await berth("server ls", handlers);
    expect(code).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "ID        HOSTNAME         ADDRESS         STATUS         ROLE       ETCD                 VERSION   CERTIFICATE EXPIRES
      server1   host-1           10.0.0.1:7400   Up 3 hours     leader     voter                0.1.0     in 2 days
      server2   host-2           10.0.0.2:7400   Up 3 hours     follower   learner              0.1.0     in 2 days
      server3   host-3           10.0.0.3:7400   Down 3 hours              voter, unreachable
                berth-10.0.0.9   10.0.0.9        Unknown                   voter, unreachable
      "
    `);
    expect(err).toMatchInlineSnapshot(`
      "warning: 2 of 3 etcd members are running: losing another one blocks all changes
      "
    `);
  });

  test("prints JSON, and ids with -q", async () => {
    const { out } = await berth("server ls -o json", handlers);
    expect(JSON.parse(out)[2]).toMatchObject({
      id: "server3",
      hostname: "host-3",
      address: "10.0.0.3:7400",
      status: "down",
      role: "",
      etcd: { id: "3", name: "c", state: "voter, unreachable" },
    });
    expect((await berth("server ls -q", cluster(status(1)))).out).toBe("server1\n");
  });
});

describe("server rm", () => {
  test("waits until the server is gone, through an election", async () => {
    const requests: object[] = [];
    let calls = 0;
    const handlers: FakeControlHandlers = {
      removeServer: async (request) => {
        requests.push(request);
        return { serverId: "server3" };
      },
      listServers: async () => {
        calls += 1;
        if (calls === 1) throw new BerthError({ code: "BERTH_NO_LEADER", message: "no leader" });
        const removing = status(3, { server: { state: State.REMOVING } });
        return ListServersResponse.fromPartial({
          servers: calls === 2 ? [status(1), removing] : [status(1)],
        });
      },
    };
    const { code, out, err } = await berth("server rm --force host-3", handlers);
    expect({ code, out, err }).toEqual({ code: 0, out: "host-3\n", err: "Removing server host-3\n" });
    expect({ requests, calls }).toEqual({ requests: [{ server: "host-3", force: true }], calls: 3 });
    expect((await berth("server rm -d -o json host-3", handlers)).out).toBe('{\n  "removed": "server3"\n}\n');
  });

  test("fails when the server is not gone in time, and says that the removal continues", async () => {
    const handlers: FakeControlHandlers = {
      ...cluster(status(3, { server: { state: State.REMOVING } })),
      removeServer: async () => ({ serverId: "server3" }),
    };
    const { code, err } = await berth("server rm --timeout 1s host-3", handlers);
    expect(code).toBe(1);
    expect(err).toContain("the removal continues in the background");
  });
});

test("completes the names of servers", async () => {
  expect((await berth("__complete server rm h", cluster(status(1), status(2)))).out).toBe("host-1\nhost-2\n");
});
