import { expect, test } from "vitest";
import { berth } from "../testing/run-berth.js";

test.each([
  ["run -p 80:80 nginx", "--publish", "a job publishes no ports; use berth port-forward"],
  ["run --publish-all nginx", "--publish-all", "a job publishes no ports"],
  ["run --restart=always nginx", "--restart", "use berth service create --restart-condition"],
  ["run --network-alias db nginx", "--network-alias", "use --network name=NETWORK,alias=ALIAS"],
  ["run --device-read-bps /dev/sda:1mb nginx", "--device-read-bps", "use blkio_config in a Compose file"],
  ["exec --privileged shop_web true", "--privileged", "use berth run --privileged"],
  ["ps --format {{.ID}}", "--format", "berth has no Go templates; use -o json"],
  ["ps -l", "--latest", "use -n 1"],
  ["volume inspect --format {{.Name}} data", "--format", "use -o json"],
  ["volume prune --filter label=a", "--filter", "use berth volume ls -q -f FILTER"],
  ["image ls --digests", "--digests", "use -o json"],
  ["image rm -f web:1", "--force", "remove the service first"],
  ["image prune -a", "--all", "berth always removes all unused images"],
  ["image push --platform linux/arm64 web:1", "--platform", "build it for the other one"],
])("berth refuses an option of Docker with its reason: %s", async (line, option, reason) => {
  const { code, out, err } = await berth(line);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain(`error: option '${option}' is not supported: `);
  expect(err).toContain(reason);
});

test("the help and the completion list no refused options", async () => {
  const { out } = await berth("run --help");
  expect(out).toContain("--privileged");
  expect(out).not.toContain("--publish-all");
  expect((await berth("__complete run --pub")).out).not.toContain("--publish");
});
