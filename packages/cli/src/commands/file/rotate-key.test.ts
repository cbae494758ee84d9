import { ClusterKeyState, GetClusterKeyResponse, ClusterKeyState_Phase as Phase } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { FakeControlHandlers } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

const OLD = "a".repeat(32);
const NEW = "b".repeat(32);

type Key = Partial<ClusterKeyState> & { readonly waitingFor?: readonly string[]; readonly sealed?: number };

const keyOf = ({ waitingFor = [], sealed = 0, ...state }: Key): GetClusterKeyResponse => ({
  state: ClusterKeyState.fromPartial({ currentId: OLD, ...state }),
  waitingFor: [...waitingFor],
  records: 7,
  recordsSealed: sealed,
});

/** Returns a server whose key changes with each call. The last state stays. */
function rotating(...keys: readonly Key[]): FakeControlHandlers {
  const left = keys.map(keyOf);
  return {
    rotateClusterKey: async () => ({ id: NEW }),
    getClusterKey: async () =>
      (left.length > 1 ? left.shift() : left[0]) ?? GetClusterKeyResponse.fromPartial({}),
  };
}

const distributing = { nextId: NEW, phase: Phase.DISTRIBUTING };

describe("secret rotate-key", () => {
  test("prints each step, and ends when all servers have only the new key", async () => {
    const handlers = rotating(
      { ...distributing, waitingFor: ["10.0.0.2:7400"] },
      distributing,
      { nextId: NEW, phase: Phase.SEALING, sealed: 5 },
      { currentId: NEW, waitingFor: ["10.0.0.3:7400"] },
      { currentId: NEW },
    );
    expect(await berth("secret rotate-key", handlers)).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "Created cluster key bbbbbbbbbbbb
      waiting for servers to get the next key: 10.0.0.2:7400
      all servers have the next key
      5 of 7 records re-encrypted
      waiting for servers to delete the earlier key: 10.0.0.3:7400
      all servers have only this key
      Rotated to cluster key bbbbbbbbbbbb
      ",
      }
    `);
  });

  test("returns at once with --detach, and shows the progress with --status", async () => {
    expect(await berth("secret rotate-key -d", rotating())).toEqual({
      code: 0,
      out: "bbbbbbbbbbbb\n",
      err: "",
    });
    const sealing = { nextId: NEW, phase: Phase.SEALING, sealed: 5 };
    expect((await berth("secret rotate-key --status", rotating(sealing))).out).toBe(
      "cluster key aaaaaaaaaaaa: 5 of 7 records re-encrypted\n",
    );
    const { out } = await berth("secret rotate-key --status -o json", rotating(sealing));
    expect(JSON.parse(out)).toEqual({
      currentId: OLD,
      nextId: NEW,
      phase: "sealing",
      waitingFor: [],
      records: 7,
      recordsSealed: 5,
    });
  });

  test("says at the timeout what the rotation of the cluster key waits for", async () => {
    const handlers = rotating({ ...distributing, waitingFor: ["10.0.0.2:7400"] });
    const { code, err } = await berth("secret rotate-key --timeout 100ms", handlers);
    expect(code).toBe(1);
    expect(err).toContain(
      "has not finished within 0.1 s (waiting for servers to get the next key: 10.0.0.2:7400): it continues",
    );
  });

  test("fails when the rotation was abandoned", async () => {
    const { code, err } = await berth("secret rotate-key", rotating({}));
    expect(code).toBe(1);
    expect(err).toContain("was abandoned: no running server has the key");
  });
});
