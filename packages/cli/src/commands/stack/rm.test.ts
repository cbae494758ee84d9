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
      files: [],
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
    shop_web: stopping 1
    shop_web: removed
    ",
    ]
  `);
});
