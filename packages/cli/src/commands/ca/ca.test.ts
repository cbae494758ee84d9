import {
  Authority_State as AuthorityState,
  AuthorityStatus,
  BerthError,
  type ListAuthoritiesResponse,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const OLD = "a".repeat(64);
const NEW = "b".repeat(64);
const DAY_MS = 86_400_000;

function status(change: Parameters<typeof AuthorityStatus.fromPartial>[0]): AuthorityStatus {
  const nowMs = Date.now();
  return AuthorityStatus.fromPartial({
    fingerprint: OLD,
    certificate: `PEM of ${change.fingerprint ?? OLD}\n`,
    state: AuthorityState.ISSUING,
    createdAtMs: nowMs - 3.5 * DAY_MS,
    expiresAtMs: nowMs + 100.5 * DAY_MS,
    ...change,
  });
}

function list(
  authorities: readonly AuthorityStatus[],
  [readyNodesRenewed, readyNodes] = [0, 0],
  etcdAuthorities: readonly AuthorityStatus[] = [],
): ListAuthoritiesResponse {
  return {
    authorities: [...authorities],
    readyNodes,
    readyNodesRenewed,
    etcdAuthorities: [...etcdAuthorities],
  };
}

/** Returns a server whose lists of CAs change with each call. The last one stays. */
function rotating(...lists: readonly ListAuthoritiesResponse[]): FakeControlHandlers {
  const left = [...lists];
  return {
    rotateAuthority: async () => ({ fingerprint: NEW }),
    listAuthorities: async () => (left.length > 1 ? left.shift() : left[0]) ?? list([]),
  };
}

const announced = (...waitingFor: string[]): readonly AuthorityStatus[] => [
  status({}),
  status({ fingerprint: NEW, state: AuthorityState.ANNOUNCED, waitingFor }),
];
const switched = [
  status({
    state: AuthorityState.RETIRING,
    removalAtMs: Date.now() + 60.5 * DAY_MS,
    nodeCount: 2,
    nodes: ["h1", "h2"],
  }),
  status({ fingerprint: NEW, nodeCount: 1, nodes: ["h3"] }),
];

describe("ca rotate", () => {
  test("prints each step, and ends when all connected nodes have renewed their certificates", async () => {
    const handlers = rotating(
      list(announced("10.0.0.2:7400")),
      list(announced()),
      list(switched, [1, 3]),
      list(switched, [3, 3]),
    );
    expect(await berth("ca rotate", handlers)).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "Created CA bbbbbbbbbbbb
      waiting for servers to trust the new CA: 10.0.0.2:7400
      all servers trust the new CA
      1 of 3 connected nodes renewed
      3 of 3 connected nodes renewed
      Rotated to CA bbbbbbbbbbbb
      ",
      }
    `);
  });

  test("returns at once with --detach", async () => {
    expect(await berth("ca rotate -d", rotating())).toEqual({ code: 0, out: "bbbbbbbbbbbb\n", err: "" });
    const { out } = await berth("ca rotate -d -o json", rotating());
    expect(JSON.parse(out)).toEqual({ fingerprint: NEW });
  });

  test("says at the timeout what the rotation of the CA waits for", async () => {
    const handlers = rotating(list(announced("10.0.0.2:7400")));
    const { code, err } = await berth("ca rotate --timeout 100ms", handlers);
    expect(code).toBe(1);
    expect(err).toMatchInlineSnapshot(`
      "error: the rotation to CA bbbbbbbbbbbb has not finished within 0.1 s (waiting for servers to trust the new CA: 10.0.0.2:7400): it continues in the background; check it with "berth ca ls"
      (BERTH_NOT_CONVERGED)
      "
    `);
  });

  test("fails when the new CA was removed meanwhile", async () => {
    const { code, err } = await berth("ca rotate", rotating(list([status({})])));
    expect(code).toBe(1);
    expect(err).toContain("was canceled: the new CA was removed\n(BERTH_NOT_CONVERGED)");
  });

  test("-o json prints the progress to standard error, and the CAs at the end", async () => {
    const { out, err } = await berth("ca rotate -o json", rotating(list(switched, [0, 0])));
    expect(JSON.parse(out)).toMatchObject({
      fingerprint: NEW,
      authorities: [{ state: "retiring", nodes: ["h1", "h2"] }, { state: "issuing" }],
    });
    expect(err).toContain("0 of 0 connected nodes renewed\n");
  });
});

describe("ca rotate --etcd", () => {
  const etcdList = (state: AuthorityState, earlier: AuthorityState, ...waitingFor: string[]) =>
    list(
      [],
      [0, 0],
      [
        status({ state: earlier, waitingFor: state === AuthorityState.ANNOUNCED ? [] : waitingFor }),
        status({ fingerprint: NEW, state, waitingFor: state === AuthorityState.ANNOUNCED ? waitingFor : [] }),
      ],
    );
  const { ANNOUNCED, ISSUING, RETIRING, REMOVING } = AuthorityState;

  test("prints each step, and ends when no etcd trusts the earlier CA", async () => {
    const handlers: FakeControlHandlers = {
      ...rotating(
        etcdList(ANNOUNCED, ISSUING, "10.0.0.2:7400"),
        etcdList(ISSUING, RETIRING, "10.0.0.3:7400"),
        etcdList(ISSUING, REMOVING, "10.0.0.2:7400", "10.0.0.3:7400"),
        list([], [0, 0], [status({ fingerprint: NEW })]),
      ),
      rotateEtcdAuthority: async () => ({ fingerprint: NEW }),
    };
    expect(await berth("ca rotate --etcd", handlers)).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "Created CA bbbbbbbbbbbb
      waiting for servers to trust the new CA: 10.0.0.2:7400
      waiting for servers to replace their certificates: 10.0.0.3:7400
      waiting for servers to stop trusting the earlier CA: 10.0.0.2:7400, 10.0.0.3:7400
      no etcd member trusts the earlier CA any longer
      Rotated to CA bbbbbbbbbbbb
      ",
      }
    `);
  });

  test("fails when the rotation is canceled", async () => {
    const handlers: FakeControlHandlers = {
      ...rotating(etcdList(REMOVING, ISSUING)),
      rotateEtcdAuthority: async () => ({ fingerprint: NEW }),
    };
    expect((await berth("ca rotate --etcd", handlers)).err).toContain("was canceled: the new CA was removed");
  });

  test("ca ls says what the rotation waits for", async () => {
    const { out } = await berth("ca ls", rotating(etcdList(ISSUING, REMOVING, "10.0.0.2:7400")));
    expect(out).toMatchInlineSnapshot(`
      "ID             USE    STATE      CREATED      EXPIRES       NODES   NOTE
      aaaaaaaaaaaa   etcd   removing   3 days ago   in 3 months   -       still trusted by 10.0.0.2:7400
      bbbbbbbbbbbb   etcd   issuing    3 days ago   in 3 months   -
      "
    `);
  });
});

describe("ca ls", () => {
  test("ca ls prints a table", async () => {
    const { out } = await berth("ca ls", rotating(list(switched)));
    expect(out).toMatchInlineSnapshot(`
      "ID             USE       STATE      CREATED      EXPIRES       NODES   NOTE
      aaaaaaaaaaaa   cluster   retiring   3 days ago   in 3 months   2       removed in 2 months
      bbbbbbbbbbbb   cluster   issuing    3 days ago   in 3 months   1
      "
    `);
    const waiting = await berth("ca ls", rotating(list(announced("10.0.0.2:7400", "10.0.0.3:7400"))));
    expect(waiting.out).toContain("not trusted yet by 10.0.0.2:7400, 10.0.0.3:7400\n");
  });

  test("-q prints IDs, which shell completion proposes", async () => {
    expect((await berth("ca ls -q", rotating(list(switched)))).out).toBe(
      `${OLD.slice(0, 12)}\n${NEW.slice(0, 12)}\n`,
    );
    expect((await berth("__complete ca rm b", rotating(list(switched)))).out).toBe("bbbbbbbbbbbb\n");
    expect((await berth("__complete ca ro")).out).toBe("rotate\n");
  });
});

test("ca show prints the certificate of the issuing CA, or of the given one", async () => {
  const handlers = rotating(list(switched));
  expect((await berth("ca show", handlers)).out).toBe(`PEM of ${NEW}\n`);
  expect((await berth("ca show aaa", handlers)).out).toBe(`PEM of ${OLD}\n`);
  expect(JSON.parse((await berth("ca show -o json", handlers)).out)).toMatchObject({ fingerprint: NEW });
  const { code, err } = await berth("ca show c", handlers);
  expect([code, err]).toEqual([1, 'error: CA "c" not found; see "berth ca ls"\n(BERTH_NOT_FOUND)\n']);
});

test("ca rm removes a CA, and passes on why not", async () => {
  const removeAuthority: FakeControlHandlers["removeAuthority"] = async ({ force }) => {
    if (!force) throw new BerthError({ code: "BERTH_AUTHORITY_IN_USE", message: "still in use" });
    return { fingerprint: OLD };
  };
  expect(await berth("ca rm aaa", { removeAuthority })).toMatchObject({ code: 1, out: "" });
  expect(await berth("ca rm --force aaa", { removeAuthority })).toMatchObject({
    code: 0,
    out: "aaaaaaaaaaaa\n",
  });
  const { out } = await berth("ca rm -f aaa -o json", { removeAuthority });
  expect(JSON.parse(out)).toEqual({ removed: OLD });
});
