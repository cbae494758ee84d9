import { readFile, rm } from "node:fs/promises";
import { NetworkMode, NodeState, Policy, ServiceSpec, TaskState } from "@berth/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, runningTasks, type TestServer } from "../harness/test-cluster.js";
import { useAgent } from "./agent/agent-fixture.js";
import { AgentProcess } from "./agent/agent-process.js";
import { IMAGE, RUN_UNTIL_STOPPED, specOf, taskOf } from "./agent/specs.js";
import { useTestCluster } from "./cluster-fixture.js";

const fixture = useAgent();
const context = useTestCluster();

/** Permits neither privileged containers nor the processes of the host. */
const STRICT = Policy.fromPartial({
  rules: [
    { name: "trusted", stacks: ["infra"] },
    {
      name: "apps",
      stacks: ["*"],
      privileged: false,
      dockerSocket: false,
      namespaces: { deny: { values: ["pid", "network"] } },
      binds: { allow: { values: ["/srv"] } },
    },
  ],
});

const bind = (source: string) =>
  ({
    target: "/x",
    readOnly: true,
    kind: {
      $case: "bind",
      value: { source, propagation: "", createHostPath: false, selinux: "", recursive: "" },
    },
  }) as const;

describe("an agent whose leader does not check specs", () => {
  test("rejects what the policy denies, with the name of the rule, and creates no container", async () => {
    const { docker, leader } = fixture;
    const specs = [
      specOf({ serviceId: "a", container: { privileged: true, pidMode: "host" } }),
      specOf({ serviceId: "b", container: { networkMode: NetworkMode.HOST } }),
      specOf({ serviceId: "c", container: { mounts: [bind("/var/run/docker.sock"), bind("/etc")] } }),
    ];
    const [privileged, network, socket] = specs.map((spec) => taskOf(spec));
    if (privileged === undefined || network === undefined || socket === undefined) throw new Error("no task");
    const permitted = specOf({ serviceId: "d", container: { pidMode: "host" } });
    const trusted = taskOf(permitted, { stack: "infra", serviceName: "infra_web" });
    leader.sendComplete([...specs, permitted], [privileged, network, socket, trusted], { policy: STRICT });
    expect((await fixture.waitForState(privileged.id, TaskState.REJECTED)).message).toBe(
      'privileged mode is denied by policy rule "apps"; the host\'s pid namespace is denied by policy rule "apps"',
    );
    expect((await fixture.waitForState(network.id, TaskState.REJECTED)).message).toContain(
      "network namespace",
    );
    expect((await fixture.waitForState(socket.id, TaskState.REJECTED)).message).toContain("docker.sock");
    const running = await fixture.waitForState(trusted.id, TaskState.RUNNING);
    expect(await docker.docker("ps", "-aq", "--no-trunc")).toBe(running.containerId);
  });

  test("keeps running containers when the policy becomes stricter, and rejects new ones", async () => {
    const { leader } = fixture;
    const spec = specOf({ container: { pidMode: "host" } });
    const [first, second] = [taskOf(spec), taskOf(spec, { slot: 2 })];
    leader.sendComplete([spec], [first], { policy: Policy.fromPartial({}) });
    const running = await fixture.waitForState(first.id, TaskState.RUNNING);
    leader.sendIncrement({ policy: STRICT });
    leader.sendIncrement({ tasks: [second] });
    await fixture.waitForState(second.id, TaskState.REJECTED);
    expect(await fixture.docker.runningContainers(first.id)).toEqual([running.containerId]);
    // An increment without a policy does not change it, and an invalid policy is ignored.
    const invalid = Policy.fromPartial({ rules: [{ name: "no stacks" }] });
    leader.sendIncrement({ policy: invalid });
    const third = taskOf(spec, { slot: 3 });
    leader.sendIncrement({ tasks: [third] });
    await fixture.waitForState(third.id, TaskState.REJECTED);
  });

  test("stores the policy, and applies the default one for a leader without policies", async () => {
    const { leader } = fixture;
    const spec = specOf({ container: { pidMode: "host" } });
    leader.sendComplete([], [], { policy: STRICT });
    const storedRules = async (): Promise<unknown> => {
      const state = JSON.parse(await readFile(`${fixture.dataDir}/state.json`, "utf8"));
      return state.policy.rules?.map(({ name }: { name: string }) => name);
    };
    await eventually("the policy is on disk", async () => (await storedRules()) !== undefined);
    expect(await storedRules()).toEqual(["trusted", "apps"]);
    await fixture.restartAgent();
    expect(await storedRules()).toEqual(["trusted", "apps"]);
    const task = taskOf(spec);
    leader.sendComplete([spec], [task]);
    await fixture.waitForState(task.id, TaskState.RUNNING);
    // The default policy protects the directory of the agent, wherever it is.
    const directory = specOf({ serviceId: "f", container: { mounts: [bind(fixture.dataDir)] } });
    const thief = taskOf(directory);
    leader.sendComplete([spec, directory], [task, thief]);
    const { message } = await fixture.waitForState(thief.id, TaskState.REJECTED);
    expect(message).toContain(`${fixture.dataDir} belongs to berth`);
  });
});

describe("a server and an agent", () => {
  let server: TestServer;
  let agent: AgentProcess;
  let dataDir = "";

  beforeEach(async () => {
    server = await context.cluster.startServer();
    dataDir = temporaryDirectory();
    await context.cluster.admitAgent("n1", dataDir);
    agent = new AgentProcess({ servers: [server.address], dockerSocket: fixture.docker.socket, dataDir });
    await eventually("the node is ready", async () => {
      const { nodes } = await server.calls.listNodes({});
      return nodes.some(({ node }) => node?.state === NodeState.READY);
    });
  });
  afterEach(async () => {
    await agent.stopWithIngress();
    await rm(dataDir, { recursive: true, force: true });
  });

  const web = (container: Parameters<typeof ServiceSpec.fromPartial>[0]["task"] = {}): ServiceSpec =>
    ServiceSpec.fromPartial({
      name: "shop_web",
      stack: "shop",
      task: {
        ...container,
        container: {
          image: IMAGE,
          command: { values: RUN_UNTIL_STOPPED },
          stopGraceMs: 2_000,
          ...container?.container,
        },
      },
      mode: { $case: "replicated", value: { replicas: 1 } },
    });

  test("a stricter policy leaves running tasks alone and refuses everything new, with the reason", async () => {
    const { calls } = server;
    const shared = web({ container: { pidMode: "host" } });
    await calls.deployStack(deployment([shared]));
    await converged(calls, "shop_web");
    const [running] = await runningTasks(calls, "shop_web");

    const dryRun = await calls.setPolicy({ policy: STRICT, dryRun: true });
    expect(dryRun.violations).toMatchObject([
      { service: "shop_web", path: "task.container.pid_mode", rule: "apps" },
    ]);
    expect((await calls.getPolicy({})).policy).toBeUndefined();
    const { violations, previous } = await calls.setPolicy({ policy: STRICT, dryRun: false });
    expect([violations, previous]).toEqual([dryRun.violations, undefined]);
    expect((await calls.getPolicy({})).policy).toEqual(STRICT);

    // Deployments, dry runs, updates and more replicas are refused; fewer replicas are not.
    const denied = { code: "BERTH_POLICY_DENIED", message: expect.stringContaining('policy rule "apps"') };
    const worse = web({ container: { pidMode: "host", privileged: true } });
    const error = await calls.deployStack(deployment([worse])).catch((reason: unknown) => reason);
    expect(error).toMatchObject(denied);
    expect(error).toHaveProperty("message", expect.stringMatching(/privileged mode[\s\S]*pid namespace/));
    await expect(calls.deployStack(deployment([shared], { dryRun: true }))).rejects.toMatchObject(denied);
    const update = { service: "shop_web", spec: shared, expectedVersion: 0, force: true, pushedImages: [] };
    await expect(calls.updateService(update)).rejects.toMatchObject(denied);
    const scale = (replicas: number) =>
      calls.scaleServices({ services: [{ service: "shop_web", replicas }] });
    await expect(scale(2)).rejects.toMatchObject(denied);
    await scale(1);
    expect((await runningTasks(calls, "shop_web")).map(({ id }) => id)).toEqual([running?.id]);

    // A new task of the service is rejected on the node, and the reason is in its status.
    await fixture.docker.docker("kill", running?.status?.containerId ?? "");
    await eventually("a new task is rejected", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
      return tasks.some(
        ({ status }) =>
          status?.state === TaskState.REJECTED &&
          status.message === 'the host\'s pid namespace is denied by policy rule "apps"',
      );
    });
    // A spec that the policy permits is accepted.
    await calls.deployStack(deployment([web()]));
    await converged(calls, "shop_web", 30_000);
  });

  test("rejects an invalid policy with all its problems, and the next leader keeps the last one", async () => {
    const { calls } = server;
    const invalid = Policy.fromPartial({ rules: [{ name: "a b" }] });
    await expect(calls.setPolicy({ policy: invalid, dryRun: false })).rejects.toMatchObject({
      code: "BERTH_SPEC_INVALID",
      message: expect.stringMatching(/rules\[0\]\.name[\s\S]*rules\[0\]\.stacks/),
    });
    await calls.setPolicy({ policy: STRICT, dryRun: false });
    await server.stop();
    const next = await context.cluster.startServer();
    expect((await next.calls.getPolicy({})).policy).toEqual(STRICT);
    const denied = next.calls.deployStack(deployment([web({ container: { privileged: true } })]));
    await expect(denied).rejects.toMatchObject({ code: "BERTH_POLICY_DENIED" });
  });
});
