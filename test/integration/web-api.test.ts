import { once } from "node:events";
import { join } from "node:path";
import { ControlServiceService, UserRole } from "@berth/proto";
import { IdentityDirectory } from "@berth/proto/identity";
import { createRpcClient, joinCluster, RotatingIdentity, tlsMaterialOf } from "@berth/proto/rpc";
import { expect, onTestFinished, test } from "vitest";
import { systemRuntime } from "../../packages/control-plane/src/runtime/runtime.js";
import { API_METHODS } from "../../proto/src/web/api-methods.js";
import { eventually } from "../harness/eventually.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import { converged, deployment, service, type TestServer } from "../harness/test-cluster.js";
import { type ReceivedEvent, WebClient, type WebResponse } from "../harness/web-client.js";
import { useTestCluster } from "./cluster-fixture.js";

const REFUSALS = join(import.meta.dirname, "../../docs/web-refusals.md");
const TTL_MS = 60 * 60_000;
const WEB = "127.0.0.1:0";
const signal = AbortSignal.timeout(120_000);

const context = useTestCluster();

interface UserOptions {
  readonly role: UserRole;
  readonly stacks?: string;
  readonly readOnly?: boolean;
}

/** Creates a user, and returns a browser in which the user has logged in. */
async function browserOf(server: TestServer, name: string, options: UserOptions): Promise<WebClient> {
  const browser = new WebClient(server.webUrl);
  await browser.login(await loginCode(server, name, options));
  return browser;
}

async function loginCode(
  server: TestServer,
  name: string,
  { role, stacks = "", readOnly = false }: UserOptions,
): Promise<string> {
  // The first authority of the cluster is stored a moment after the election.
  const { invitation } = await eventually("the leader issues certificates", () =>
    server.calls.inviteUser({ name, role, stacks, ttlMs: TTL_MS }).catch(() => undefined),
  );
  const directory = await IdentityDirectory.open(join(temporaryDirectory(), "identity"));
  const { files } = await joinCluster(
    { address: server.address, token: invitation, hostname: "", directory },
    signal,
  );
  const identity = new RotatingIdentity(tlsMaterialOf(files));
  const connection = createRpcClient(ControlServiceService, { address: server.address, identity });
  onTestFinished(() => connection.close());
  const { code } = await connection.calls.createLogin({ readOnly });
  return code;
}

function errorOf({ status, body }: WebResponse): string {
  const { error } = body as { readonly error?: { readonly code: string } };
  return `${status} | ${error?.code ?? ""}`;
}

test("a user logs in, reads and changes the cluster over HTTP, and the audit log has the browser", async () => {
  const server = await context.cluster.startServer(undefined, { web: WEB });
  await context.cluster.startAgents(["a"]);
  await server.calls.deployStack(deployment([service("web")]));
  await converged(server.calls, "shop_web");
  const code = await loginCode(server, "alice", { role: UserRole.DEPLOYER, stacks: "shop*" });
  const browser = new WebClient(server.webUrl);
  const login = await browser.login(code);
  expect(login.body).toMatchObject({
    user: "alice",
    role: "USER_ROLE_DEPLOYER",
    stacks: "shop*",
    isReadOnly: false,
  });
  expect(login.headers["set-cookie"]?.[0]).toMatch(
    /^__Host-berth-session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  );
  expect((await browser.request("/api/session")).body).toEqual(login.body);

  const scaled = await browser.call("ScaleServices", { services: [{ service: "shop_web", replicas: 2 }] });
  expect(scaled).toMatchObject({
    status: 200,
    body: { services: [{ name: "shop_web", kind: "KIND_UPDATED" }] },
  });
  const invalid = await browser.call("ScaleServices", { services: [{ service: 7, replica: 2 }], more: true });
  expect(invalid).toMatchObject({ status: 400, body: { error: { code: "BERTH_INPUT_INVALID" } } });
  expect(JSON.stringify(invalid.body)).toMatch(
    /services.0.service must be string.*no field \\"replica\\"|no field/,
  );
  expect(errorOf(await browser.call("GetService", { service: "unknown" }))).toBe("404 | BERTH_NOT_FOUND");

  const records: unknown[] = [];
  const request = { follow: false, sinceMs: 0, limit: 0, afterSequence: 0 };
  for await (const { message } of server.calls.streamAudit(request))
    if (message?.$case === "record") records.push(message.value);
  const browserAddress = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
  expect(records).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ method: "CreateLogin", caller: expect.stringContaining("alice") }),
      expect.objectContaining({
        method: "RedeemLogin",
        summary: expect.stringContaining("with a browser at 127.0.0.1"),
      }),
      expect.objectContaining({
        method: "ScaleServices",
        caller: expect.stringContaining("alice"),
        client: browserAddress,
      }),
    ]),
  );

  await browser.request("/api/logout", { method: "POST" });
  expect(errorOf(await browser.request("/api/session"))).toBe("401 | BERTH_UNAUTHENTICATED");
});

test("a session ends with its streams when the user logs out or is removed", async () => {
  const server = await context.cluster.startServer(undefined, { web: WEB });
  const browser = await browserOf(server, "alice", { role: UserRole.VIEWER });
  const events: ReceivedEvent[] = [];
  const reading = (async () => {
    for await (const event of browser.events("/api/WatchCluster")) events.push(event);
  })();
  await eventually("the stream has begun", () => events.length > 0);
  await browser.request("/api/logout", { method: "POST" });
  await reading;

  const other = await browserOf(server, "bob", { role: UserRole.VIEWER });
  await server.calls.removeUser({ name: "bob" });
  expect(errorOf(await other.call("ListNodes"))).toBe("403 | BERTH_PERMISSION_DENIED");
  expect(errorOf(await other.call("ListNodes"))).toBe("401 | BERTH_UNAUTHENTICATED");
});

test("a stream of a page continues when the leader dies, without missing or repeated events", async () => {
  const leader = await context.cluster.startProcess();
  const follower = await context.cluster.startServer(undefined, { web: WEB });
  await eventually("a leader is elected", () => follower.calls.getCluster({}));
  await context.cluster.startAgents(["a"]);
  const browser = await browserOf(follower, "alice", { role: UserRole.ADMIN });
  const received: ReceivedEvent[] = [];
  const stopping = new AbortController();
  const reading = (async () => {
    for await (const event of browser.events("/api/WatchCluster", { signal: stopping.signal }))
      received.push(event);
  })();
  await eventually("the snapshot arrives", () => received.some(({ id }) => id !== ""));
  const epochs = (): readonly string[] => [...new Set(received.map(({ id }) => id.split(".")[0] ?? ""))];
  await follower.calls.deployStack(deployment([service("web", { replicas: 3 })]));
  await leader.kill();
  await eventually(
    "the next leader sends updates",
    () => epochs().filter((epoch) => epoch !== "").length === 2,
  );
  await converged(follower.calls, "shop_web", 30_000);
  const started = (): readonly string[] =>
    received.flatMap(({ data }) => {
      const { update } = data as {
        readonly update?: { readonly events?: readonly Record<string, string>[] };
      };
      return (update?.events ?? [])
        .filter(({ reason }) => reason === "TASK_STARTED")
        .map(({ taskId }) => taskId ?? "");
    });
  await eventually("all tasks have started", () => started().length >= 3);
  expect(received.map(({ name }) => name)).toContain("interrupted");
  expect(new Set(started()).size).toBe(3);
  expect(started()).toHaveLength(3);

  // A browser that reconnects sends the ID of the last event, and gets no snapshot.
  const { id } = received.findLast((event) => event.id !== "") ?? { id: "" };
  for await (const { data } of browser.events("/api/WatchCluster", { headers: { "last-event-id": id } })) {
    expect(
      (data as { readonly update: { readonly isSnapshot?: boolean } }).update.isSnapshot,
    ).toBeUndefined();
    break;
  }
  stopping.abort();
  await reading;
});

test("all requests that must be refused are refused", async () => {
  let offsetMs = 0;
  const runtime = { ...systemRuntime, wallClockMs: () => Date.now() + offsetMs };
  const server = await context.cluster.startServer(undefined, { web: WEB, runtime });
  const rows: string[] = [];
  const add = (request: string, outcome: string): void => void rows.push(`| ${request} | ${outcome} |`);
  const section = (title: string): void =>
    void rows.push("", `## ${title}`, "", "| request | status | code |", "| --- | --- | --- |");

  await server.calls.deployStack(deployment([service("web", { stack: "blog" })], { stack: "blog" }));
  const admin = await browserOf(server, "anna", { role: UserRole.ADMIN });
  const viewer = await browserOf(server, "vera", { role: UserRole.VIEWER });
  const wall = await browserOf(server, "walt", { role: UserRole.ADMIN, readOnly: true });
  const deployer = await browserOf(server, "dora", { role: UserRole.DEPLOYER, stacks: "shop*" });
  section("Requests that do not come from the page");
  const forged: readonly [string, string, Readonly<Record<string, string | undefined>>][] = [
    ["`Origin` of another site", "POST", { origin: "https://attacker.example" }],
    ["`Origin` of another port of the server", "POST", { origin: "https://127.0.0.1:1" }],
    ["`Origin: null`", "POST", { origin: "null" }],
    ["`Sec-Fetch-Site: cross-site`", "POST", { "sec-fetch-site": "cross-site" }],
    ["`Sec-Fetch-Site: same-site`", "GET", { "sec-fetch-site": "same-site" }],
    ["`Host` of another name (DNS rebinding)", "GET", { host: "attacker.example" }],
    ["no `X-Berth-Api`", "POST", { "x-berth-api": undefined }],
    ["body of a form", "POST", { "content-type": "text/plain" }],
  ];
  for (const [title, method, headers] of forged) {
    const isPost = method === "POST";
    const options = isPost ? ({ method: "POST", body: {}, headers } as const) : { headers };
    add(title, errorOf(await admin.request(isPost ? "/api/ListNodes" : "/api/session", options)));
  }
  const socket = admin.socket("/api/Exec", { origin: "https://attacker.example" });
  const [, refused] = await once(socket, "unexpected-response");
  add("WebSocket with the `Origin` of another site", `${refused.statusCode} | BERTH_PERMISSION_DENIED`);

  section("Logins and sessions");
  const code = await loginCode(server, "used", { role: UserRole.ADMIN });
  await new WebClient(server.webUrl).login(code);
  const attempt = (text: string): Promise<WebResponse> =>
    new WebClient(server.webUrl).request("/api/login", { method: "POST", body: { code: text } });
  add("login with a used code", errorOf(await attempt(code)));
  const late = await loginCode(server, "late", { role: UserRole.ADMIN });
  offsetMs = 61_000;
  add("login with an expired code", errorOf(await attempt(late)));
  add("login with a wrong code", errorOf(await attempt(`anna.${"x".repeat(43)}`)));
  add("login with a join token", errorOf(await attempt("berth-node-1")));
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => attempt("anna.x")));
  add("more than 10 logins in a minute", outcomes.map(errorOf).at(-1) ?? "");
  add("call without a session", errorOf(await new WebClient(server.webUrl).call("ListNodes")));
  const forgedCookie = { cookie: `__Host-berth-session=${"A".repeat(43)}` };
  add("call with a forged session", errorOf(await admin.request("/api/session", { headers: forgedCookie })));

  const tryMethod = async (browser: WebClient, name: string, body: unknown = {}): Promise<string> => {
    const method = API_METHODS.get(name);
    if (method?.kind === "unary") return errorOf(await browser.call(name, body));
    if (method?.kind === "socket") return socketOutcome(browser, name, body);
    const response = await browser.request(
      `/api/${name}?request=${encodeURIComponent(JSON.stringify(body))}`,
    );
    return response.status === 200 ? `200, then failure | ${streamError(response.body)}` : errorOf(response);
  };
  const changes = [...API_METHODS.values()].filter(({ isForViewers }) => !isForViewers);
  section("A viewer, for each method that viewers may not call");
  for (const { name } of changes) add(`\`${name}\``, await tryMethod(viewer, name));

  section("A read-only session of an administrator, for the same methods");
  for (const { name, kind } of changes) {
    const outcome = kind === "socket" ? await refusedSocket(wall, name) : await tryMethod(wall, name);
    add(`\`${name}\``, outcome);
  }

  section("A deployer who is limited to `shop*`, for another stack");
  const start = { target: "blog_web", command: { command: ["true"] } };
  const foreign: readonly [string, unknown][] = [
    ["DeployStack", { stack: "blog" }],
    [
      "CreateService",
      { spec: { name: "blog_api", stack: "blog", replicated: {}, task: { container: { image: "web:1" } } } },
    ],
    ["ScaleServices", { services: [{ service: "blog_web", replicas: 2 }] }],
    ["UpdateService", { service: "blog_web", spec: { name: "blog_web", stack: "blog" } }],
    ["RollbackService", { service: "blog_web" }],
    ["RemoveServices", { services: ["blog_web"] }],
    ["RemoveServices", { stack: "blog" }],
    ["CreateNetwork", { spec: { name: "shared" } }],
    ["PutFile", { file: { kind: "FILE_KIND_SECRET", name: "key", stack: "blog" } }],
    ["RemoveImages", {}],
    ["LocateImages", { stack: "blog" }],
    ["StreamLogs", { target: "blog_web" }],
    ["Exec", { start }],
    ["UpdateNode", { node: "a", availability: "AVAILABILITY_DRAIN" }],
  ];
  for (const [name, body] of foreign)
    add(`\`${name}\` \`${JSON.stringify(body)}\``, await tryMethod(deployer, name, body));

  const accepted = rows.filter((row) => /\| (2\d\d|101) \||\|\s*\|$/.test(row));
  expect(accepted).toEqual([]);
  const text = `# Requests that servers refuse

\`test/integration/web-api.test.ts\` sends these requests to the page of a server, and writes this table (\`-u\`). [web-api.md](web-api.md) explains the checks.
${rows.join("\n")}
`;
  await expect(text).toMatchFileSnapshot(REFUSALS);
});

/** Returns the outcome of a WebSocket that the server refuses to open. */
async function refusedSocket(browser: WebClient, name: string): Promise<string> {
  const [, response] = await once(browser.socket(`/api/${name}`), "unexpected-response");
  let text = "";
  for await (const chunk of response) text += chunk;
  return `${response.statusCode} | ${streamError(text)}`;
}

/** Returns the code of the error that ends a stream. */
function streamError(text: unknown): string {
  return /"code":"(\w+)"/.exec(String(text))?.[1] ?? "";
}

async function socketOutcome(browser: WebClient, name: string, body: unknown): Promise<string> {
  const { error } = (await browser.firstMessage(`/api/${name}`, body)) as {
    readonly error?: { readonly code: string };
  };
  return `101, then failure | ${error?.code ?? ""}`;
}
