import { setTimeout as delay } from "node:timers/promises";
import { ControlServiceService, type Task, TaskState } from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import type { Store, TxnOutcome, TxnRequest } from "../../packages/control-plane/src/store/store.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

function idsOf(tasks: readonly Task[]): readonly string[] {
  return tasks.map(({ id }) => id).sort();
}

describe("a follower", () => {
  it("forwards calls and streams to the leader and redirects agents to it", async () => {
    const leader = await context.cluster.startServer();
    await leader.calls.getCluster({});
    const follower = await context.cluster.startServer();
    const agent = context.cluster.startAgent("a", { servers: [follower.address] });
    await eventually("the agent has a session with the leader", () => agent.completeSets > 0);
    expect(agent.sessionErrors).toContain("BERTH_NOT_LEADER");

    const deployed = await follower.calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(follower.calls, "shop_web");
    expect(await follower.calls.getCluster({})).toMatchObject({ leaderAddress: leader.address });
    await expect(follower.calls.getService({ service: "nope" })).rejects.toMatchObject({
      code: "BERTH_NOT_FOUND",
    });
    const watch = follower.calls.watchServices({ serviceIds: [deployed.services[0]?.serviceId ?? ""] });
    for await (const { services } of watch) {
      expect(services[0]?.summary?.running).toBe(2);
      break;
    }
    await eventually("both servers are known", async () => {
      const { servers } = await leader.calls.getCluster({});
      return servers.length === 2 && servers.includes(follower.address);
    });
  });

  it("takes over when the leader stops and keeps the running tasks", async () => {
    const first = await context.cluster.startServer();
    await first.calls.getCluster({});
    const second = await context.cluster.startServer();
    const agents = await context.cluster.startAgents(["a", "b"]);
    await first.calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(first.calls, "shop_web");
    const before = idsOf(await runningTasks(first.calls, "shop_web"));
    const { epoch } = await first.calls.getCluster({});

    await first.stop();
    await second.calls.scaleServices({ services: [{ service: "shop_web", replicas: 5 }] });
    await converged(second.calls, "shop_web");
    expect((await second.calls.getCluster({})).epoch).toBeGreaterThan(epoch);
    const after = idsOf(await runningTasks(second.calls, "shop_web"));
    expect(after).toEqual(expect.arrayContaining([...before]));
    expect(after).toHaveLength(5);
    expect(agents.flatMap(({ runningTaskIds }) => runningTaskIds).sort()).toEqual(after);
  });

  it("takes over from a killed leader with every confirmed change", async () => {
    const first = await context.cluster.startProcess();
    const client = createRpcClient(ControlServiceService, { socket: first.socket });
    await client.calls.deployStack(deployment([service("web", { replicas: 3 })]));
    const second = await context.cluster.startServer();
    const agent = context.cluster.startAgent("a", { servers: [first.address, second.address] });
    await converged(client.calls, "shop_web");
    const before = agent.runningTaskIds;

    await first.kill();
    client.close();
    await converged(second.calls, "shop_web");
    await eventually("the agent has a session with the new leader", () => agent.completeSets > 1);
    expect(agent.runningTaskIds).toEqual(before);
    const nodes = await second.calls.listNodes({});
    expect(nodes.nodes).toHaveLength(1);
  });
});

describe("a paused leader", () => {
  /** Returns a store that holds back transactions and lease calls while it is closed, like a long network pause. */
  function pausable(store: Store): {
    readonly store: Store;
    close(): void;
    open(): void;
    /** Transactions that are held back. */
    readonly held: TxnRequest[];
    readonly outcomes: TxnOutcome[];
  } {
    let isOpen = true;
    let release = (): void => {};
    let opened = Promise.resolve();
    const held: TxnRequest[] = [];
    const outcomes: TxnOutcome[] = [];
    const pass = async <T>(run: () => Promise<T>): Promise<T> => {
      if (!isOpen) await opened;
      return run();
    };
    return {
      held,
      outcomes,
      close: () => {
        isOpen = false;
        opened = new Promise((resolve) => {
          release = resolve;
        });
      },
      open: () => {
        isOpen = true;
        release();
      },
      store: {
        range: (query, signal) => store.range(query, signal),
        watch: (query, signal) => store.watch(query, signal),
        txn: async (request, signal) => {
          const wasHeld = !isOpen;
          if (wasHeld) held.push(request);
          // A held request is sent in the end, although its caller has given up by then.
          const outcome = await pass(() =>
            store.txn(request, wasHeld ? new AbortController().signal : signal),
          );
          if (wasHeld) outcomes.push(outcome);
          return outcome;
        },
        leases: {
          grant: (ttlSeconds, signal) => pass(() => store.leases.grant(ttlSeconds, signal)),
          renew: (lease, signal) => pass(() => store.leases.renew(lease, signal)),
          revoke: (leaseId, signal) => pass(() => store.leases.revoke(leaseId, signal)),
        },
      },
    };
  }

  it("a paused leader cannot write after another server was elected", async () => {
    let gate: ReturnType<typeof pausable> | undefined;
    const first = await context.cluster.startServer((store) => {
      gate = pausable(store);
      return gate.store;
    });
    await first.calls.deployStack(deployment([service("web", { image: "web:confirmed" })]));
    const second = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    await converged(first.calls, "shop_web");

    gate?.close();
    const abort = new AbortController();
    const late = first.calls
      .deployStack(deployment([service("web", { image: "web:late" })]), { signal: abort.signal })
      .catch((error: unknown) => error);
    await eventually("the late write is held back", () =>
      gate?.held.some(({ ops }) => ops.some((op) => op.kind === "put" && op.value.includes("web:late"))),
    );
    abort.abort(new Error("gave up"));
    await late;
    await eventually("the second server leads", async () => {
      const { leaderAddress } = await second.calls.getCluster({});
      return leaderAddress === second.address;
    });
    await second.calls.deployStack(deployment([service("web", { image: "web:newer" })]));
    gate?.open();
    await eventually("the late write has arrived", () => (gate?.outcomes.length ?? 0) > 0);
    expect(gate?.outcomes.map(({ kind }) => kind)).not.toContain("committed");
    const { service: summary } = await second.calls.getService({ service: "shop_web" });
    expect(summary?.service?.spec?.task?.container?.image).toBe("web:newer");
    expect(summary?.service?.version).toBe(2);
    await converged(second.calls, "shop_web");
  });

  it("writes no task record when it restarts while all tasks run", async () => {
    const first = await context.cluster.startServer();
    const [agent] = await context.cluster.startAgents(["a"]);
    await first.calls.deployStack(
      deployment([service("web", { replicas: 3, ports: [{ target: 80, published: 8080 }] })]),
    );
    await converged(first.calls, "shop_web");
    const before = agent?.runningTaskIds;
    const { store } = context.cluster.openStore();
    const revisionOf = async (): Promise<bigint | undefined> => {
      let newest: bigint | undefined;
      for await (const page of store.range({ prefix: "/berth/v1/tasks/" }, AbortSignal.timeout(30_000))) {
        if (page.kind === "compacted") continue;
        for (const { modRevision } of page.entries) {
          if (newest === undefined || modRevision > newest) newest = modRevision;
        }
      }
      return newest;
    };
    const written = await revisionOf();
    await first.stop();

    const again = await context.cluster.startServer();
    await agent?.loseHost();
    const back = context.cluster.startAgent("a", { servers: [again.address] });
    for (const [id, container] of agent?.containers ?? []) back.containers.set(id, container);
    await eventually("the agent has a session", () => back.completeSets === 1);
    await converged(again.calls, "shop_web");
    expect(back.runningTaskIds).toEqual(before);
    expect(await revisionOf()).toBe(written);
  });
});

describe("etcd", () => {
  it("keeps every confirmed change and converges after it is killed and restarted under load", async () => {
    const { calls, httpAddress } = await context.cluster.startServer();
    const agents = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 }), service("db")]));
    const healthz = (): Promise<Response> => fetch(`http://${httpAddress}/healthz`);
    const confirmed = new Map<string, number>();
    let isOver = false;
    const load = async (name: string): Promise<void> => {
      for (let replicas = 1; !isOver; replicas = (replicas % 9) + 1) {
        const answer = await calls
          .scaleServices({ services: [{ service: name, replicas }] }, { timeoutMs: 8_000 })
          .catch(() => undefined);
        if (answer !== undefined) confirmed.set(name, replicas);
        else confirmed.delete(name);
        await delay(15);
      }
    };
    const loads = ["shop_web", "shop_db"].map(load);
    // The delays only let the load run. Any times are correct.
    for (let round = 0; round < 3; round++) {
      await delay(400);
      await context.etcd.kill();
      await delay(300);
      if (round === 0)
        await eventually("/healthz reports status 503", async () => (await healthz()).status === 503);
      await context.etcd.restart();
    }
    await delay(400);
    isOver = true;
    await Promise.all(loads);

    for (const name of ["shop_web", "shop_db"]) {
      const summary = await converged(calls, name, 30_000);
      const { mode } = summary.service?.spec ?? {};
      const replicas = mode?.$case === "replicated" ? mode.value.replicas : -1;
      if (confirmed.has(name)) expect(replicas).toBe(confirmed.get(name));
      // Surplus tasks may still be stopping after convergence.
      await eventually(
        `${replicas} tasks of ${name} run`,
        async () => (await runningTasks(calls, name)).length === replicas,
      );
    }
    const { tasks } = await calls.listTasks({ service: "", stack: "", node: "" });
    const running = tasks.filter(({ status }) => status?.state === TaskState.RUNNING);
    await eventually("agents run what the records say", () => {
      const onAgents = agents.flatMap(({ runningTaskIds }) => runningTaskIds);
      return JSON.stringify(onAgents.sort()) === JSON.stringify(idsOf(running));
    });
  });

  it("applies records that were edited by hand and ignores unreadable ones", async () => {
    const { calls } = await context.cluster.startServer();
    const [agent] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    const { store } = context.cluster.openStore();
    const { signal } = new AbortController();
    const [task] = await runningTasks(calls, "shop_web");
    const key = `/berth/v1/tasks/${task?.serviceId}/${task?.id}`;

    await store.txn({ ops: [{ kind: "put", key: "/berth/v1/nodes/strange", value: "{oops" }] }, signal);
    await store.txn({ ops: [{ kind: "delete", key }] }, signal);
    await eventually("another task replaces the deleted one", async () => {
      const ids = idsOf(await runningTasks(calls, "shop_web"));
      return ids.length === 2 && !ids.includes(task?.id ?? "");
    });
    await eventually("the container is gone", () => agent?.containers.has(task?.id ?? "") === false);
    expect((await calls.listNodes({})).nodes).toHaveLength(1);

    await store.txn({ ops: [{ kind: "put", key, value: "not json" }] }, signal);
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 3 }] });
    await converged(calls, "shop_web");
  });
});
