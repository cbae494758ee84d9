import { BerthError, type PutRegistryLoginRequest, RegistryLogin } from "@berth/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { fakeCli } from "../../testing/fake-cli.js";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const PASSWORD = "hunter2";

function login(change: Partial<RegistryLogin> = {}): RegistryLogin {
  return RegistryLogin.fromPartial({
    id: "l1",
    server: "ghcr.io",
    username: "ci",
    updatedAtMs: Date.now() - 65_000,
    ...change,
  });
}

describe("registry login", () => {
  let requests: PutRegistryLoginRequest[];
  beforeEach(() => {
    requests = [];
  });
  const handlers: FakeControlHandlers = {
    putRegistryLogin: async (request) => {
      requests.push(request);
      const { server = "", username = "" } = request.credentials ?? {};
      return { login: login({ server, username }), checkedBy: request.skipCheck ? "" : "host-1" };
    },
  };

  test("reads the password from stdin without its final line break, and never prints it", async () => {
    const line = "registry login -u ci --password-stdin https://index.docker.io/v1/";
    const result = await berth(line, handlers, { stdin: `{\n ${PASSWORD}}\n` });
    expect(result).toEqual({
      code: 0,
      out: "Login to docker.io as ci stored (checked by node host-1)\n",
      err: "",
    });
    const credentials = {
      server: "docker.io",
      username: "ci",
      secret: `{\n ${PASSWORD}}`,
      isIdentityToken: false,
    };
    expect(requests).toEqual([{ credentials, skipCheck: false }]);
  });

  test("asks for the password on a terminal", async () => {
    const options = { stdin: `${PASSWORD}\n`, streams: { ...fakeCli().streams, isInputTty: true } };
    const result = await berth("registry login -u ci --skip-check -o json host:5000", handlers, options);
    expect(JSON.parse(result.out)).toMatchObject({ server: "host:5000", username: "ci", checkedBy: "" });
    expect(JSON.stringify(result)).not.toContain(PASSWORD);
    expect(requests).toMatchObject([{ credentials: { secret: PASSWORD }, skipCheck: true }]);
  });

  test.each([
    ["registry login ghcr.io", "required option '-u, --username <name>' not specified"],
    [
      "registry login -u ci ghcr.io",
      "standard input is not a terminal; use --password-stdin to read the password from it",
    ],
    ["registry login -u ci --password-stdin http://", '"http://" is not a registry'],
    ["registry login -u a:b --password-stdin ghcr.io", "the username must have at most 255 characters"],
  ])("%s is refused before the server is called", async (line, message) => {
    const { code, out, err } = await berth(line, {}, { stdin: PASSWORD });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(message);
    expect(err).not.toContain(PASSWORD);
  });

  test("fails with the registry's reason", async () => {
    const putRegistryLogin: FakeControlHandlers["putRegistryLogin"] = async () => {
      throw new BerthError({ code: "BERTH_REGISTRY_LOGIN_REFUSED", message: "unauthorized" });
    };
    const options = { stdin: PASSWORD };
    const line = "registry login -u ci --password-stdin ghcr.io";
    expect(await berth(line, { putRegistryLogin }, options)).toEqual({
      code: 1,
      out: "",
      err: "error: unauthorized\n(BERTH_REGISTRY_LOGIN_REFUSED)\n",
    });
  });
});

test("registry ls lists servers, users and stacks, and no secret", async () => {
  const logins = [
    login({ sealedSecret: Buffer.from(PASSWORD) }),
    login({ stack: "shop", username: "", isIdentityToken: true }),
  ];
  const listRegistryLogins: FakeControlHandlers["listRegistryLogins"] = async () => ({ logins });
  expect((await berth("registry ls", { listRegistryLogins })).out).toMatchInlineSnapshot(`
    "SERVER    USERNAME   STACK   UPDATED
    ghcr.io   ci         *       about a minute ago
    ghcr.io   <token>    shop    about a minute ago
    "
  `);
  expect((await berth("registry ls -q", { listRegistryLogins })).out).toBe("ghcr.io\nghcr.io\n");
  const { out } = await berth("registry ls -o json", { listRegistryLogins });
  expect(JSON.parse(out)).toMatchObject([
    { server: "ghcr.io", username: "ci", stack: "", identityToken: false },
    { server: "ghcr.io", username: "", stack: "shop", identityToken: true },
  ]);
  expect(out).not.toContain(Buffer.from(PASSWORD).toString("base64"));
});

test("registry logout prints the removed servers", async () => {
  const removeRegistryLogin: FakeControlHandlers["removeRegistryLogin"] = async ({ server, stack }) => ({
    login: login({ server, stack }),
  });
  expect((await berth("registry logout a.io b.io", { removeRegistryLogin })).out).toBe("a.io\nb.io\n");
  const { out } = await berth("registry logout --stack shop -o json a.io", { removeRegistryLogin });
  expect(JSON.parse(out)).toEqual({ removed: ["a.io"] });
});
