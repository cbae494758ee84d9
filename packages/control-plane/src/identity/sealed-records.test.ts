import { RegistryLogin } from "@berth/proto";
import { expect, it } from "vitest";
import { ClusterState } from "../state/cluster-state.js";
import { ClusterKey, createKeyVersion } from "./cluster-key.js";
import { createLoginSealer } from "./login-sealer.js";
import { RecordResealer } from "./sealed-records.js";

const LOGINS = 1_000;

it("RecordResealer reads each record a few times, however many passes it takes", () => {
  const [first, second] = [createKeyVersion(), createKeyVersion()];
  const sealer = createLoginSealer(new ClusterKey(first));
  const state = new ClusterState();
  for (let index = 0; index < LOGINS; index += 1) {
    const login = RegistryLogin.fromPartial({ id: `l${index}`, server: `r${index}.test`, username: "ci" });
    state.logins.put({ ...login, sealedSecret: sealer.seal(login, "hunter2") });
  }
  let reads = 0;
  const counted = {
    authorities: state.authorities,
    etcdAuthorities: undefined,
    files: state.files,
    logins: {
      values: function* () {
        for (const login of state.logins.values()) {
          reads += 1;
          yield login;
        }
      },
    } as unknown as ClusterState["logins"],
  };
  const key = new ClusterKey(first, second);
  key.useForSealing(second.id);
  const sealing = new RecordResealer(key, { records: 10, bytes: 1_000_000 });
  let passes = 0;
  for (let isDone = false; !isDone; passes += 1) {
    const pass = sealing.next(counted);
    for (const change of pass.changes) {
      if (change.kind === "put-login") state.logins.put(change.login);
    }
    isDone = pass.isDone;
  }
  expect(passes).toBeGreaterThanOrEqual(LOGINS / 10);
  expect(reads).toBeLessThanOrEqual(4 * LOGINS);
  expect(sealing.progress(state)).toEqual({ sealed: LOGINS, total: LOGINS });
});
