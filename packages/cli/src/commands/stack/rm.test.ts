import { FileKind, FileOutcome_Kind } from "@berth/proto";
import { expect, test } from "vitest";
import { watching, webService, webTask } from "../../testing/fake-control.js";
import { berth } from "../../testing/run-berth.js";

test("stack rm waits until the last task is gone", async () => {
  const serviceId = "svcwebxxxxxxxxxxxx";
  const removing = webService({ converged: false, running: 1, desired: 0 });
  if (removing.service !== undefined) removing.service.removing = true;
  const { code, out } = await berth("stack rm shop", {
    removeServices: async () => ({
      services: [{ serviceId, name: "shop_web", kind: 4, version: 1 }],
      networks: [],
      files: [
        { fileKind: FileKind.SECRET, name: "shop_key", kind: FileOutcome_Kind.REMOVED, version: 0 },
        { fileKind: FileKind.CONFIG, name: "shop_conf", kind: FileOutcome_Kind.REMOVED, version: 0 },
      ],
    }),
    watchServices: watching(
      { services: [{ serviceId, removed: false, summary: removing, tasks: [webTask()] }] },
      { services: [{ serviceId, removed: true, summary: undefined, tasks: [] }] },
    ),
  });
  expect([code, out]).toMatchInlineSnapshot(`
    [
      0,
      "Removing service shop_web
    Removing secret shop_key
    Removing config shop_conf
    shop_web: stopping 1
    shop_web: removed
    ",
    ]
  `);
});
