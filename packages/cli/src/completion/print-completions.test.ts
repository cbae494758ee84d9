import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { type FakeControlHandlers, startFakeControl, webService } from "../testing/fake-control.js";
import { berth } from "../testing/run-berth.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

test("completion suggests commands, options and the names of services, nodes and stacks", async () => {
  const handlers: FakeControlHandlers = { listServices: async () => ({ services: [webService()] }) };
  expect((await berth("__complete stack d", handlers)).out).toBe("deploy\n");
  expect((await berth("__complete service logs sh", handlers)).out).toBe("shop_web\n");
  expect((await berth("__complete service scale sh", handlers)).out).toBe("shop_web=\n");
  expect((await berth("__complete node update --av", handlers)).out).toBe("--availability\n");
  expect((await berth("__complete node inspect h", handlers)).out).toBe("");
  expect((await berth("__complete stack deploy -c compose.yaml sh", handlers)).out).toBe("shop\n");
  expect((await berth("__complete service scale shop_web=", handlers)).out).toBe("");
  expect((await berth("__complete service update --update-or", handlers)).out).toBe("--update-order\n");
  expect((await berth("__complete service update --update-order st", handlers)).out).toBe(
    "start-first\nstop-first\n",
  );
  expect((await berth("__complete service update --image nginx:1.28 sh", handlers)).out).toBe("shop_web\n");
  expect((await berth("__complete service rollback sh", handlers)).out).toBe("shop_web\n");
  expect((await berth("__complete stack deploy --dry", handlers)).out).toBe("--dry-run\n");
  expect((await berth("__complete node dr", handlers)).out).toBe("drain\n");
  expect((await berth("__complete node update --availability d", handlers)).out).toBe("drain\n");
});

test("completion uses the server of the --server option", async () => {
  const server = await startFakeControl({ listServices: async () => ({ services: [webService()] }) });
  cleanUps.push(server.close);
  expect((await berth(`__complete -s ${server.address} service ps sh`)).out).toBe("shop_web\n");
  expect((await berth(`__complete -s${server.address} service ps sh`)).out).toBe("shop_web\n");
  expect((await berth(`__complete --server=${server.address} service ps sh`)).out).toBe("shop_web\n");
});

test("the bash script passes on arguments that contain colons and equals signs unsplit", async () => {
  const { out: script } = await berth("completion bash");
  const { stdout } = await promisify(execFile)("bash", [
    "-c",
    `berth() { printf '<%s>' "$@"; }
    ${script}
    COMP_LINE='berth -s 10.0.0.1:7400 service scale web=5 w'
    COMP_POINT=\${#COMP_LINE}
    _berth
    printf '%s\\n' "\${COMPREPLY[@]}"`,
  ]);
  expect(stdout).toBe("<__complete><-s><10.0.0.1:7400><service><scale><web=5><w>\n");
});
