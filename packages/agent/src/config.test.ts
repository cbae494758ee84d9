import { expect, test } from "vitest";
import { parseConfig } from "./config.js";

test("parseConfig takes flags before BERTH_* variables before defaults", () => {
  const env = { BERTH_SERVER: "a:1,b:2", BERTH_DATA_DIR: "/env" };
  expect(parseConfig(["--data-dir", "/flag", "--advertise", "10.0.0.2"], env)).toEqual({
    kind: "config",
    config: {
      servers: ["a:1", "b:2"],
      advertiseAddress: "10.0.0.2",
      dataDir: "/flag",
      dockerSocket: "/var/run/docker.sock",
      ingress: "auto",
      metrics: "",
      resources: {},
      logLevel: "info",
    },
  });
});

test("parseConfig names all problems at once", () => {
  const parsed = parseConfig(
    [
      "--server",
      "nowhere,x:99999",
      "--advertise",
      "0.0.0.0",
      "--log-level",
      "loud",
      "--metrics",
      "9000",
      "--ingress",
      "fast",
    ],
    {},
  );
  expect(parsed).toMatchObject({ kind: "invalid" });
  expect(parsed.kind === "invalid" && parsed.problems).toEqual([
    '--ingress: "fast" is none of auto, kernel, userspace',
    '--server: "nowhere" is not HOST:PORT',
    '--server: "x:99999" is not HOST:PORT',
    "--advertise: other hosts cannot reach 0.0.0.0; give an address of this host",
    '--metrics: "9000" is not HOST:PORT',
    '--log-level: "loud" is none of debug, info, warn, error, silent',
  ]);
  expect(parseConfig(["--no-such-flag"], {})).toEqual({
    kind: "invalid",
    problems: ["unknown option '--no-such-flag'"],
  });
});

test("parseConfig counts what tasks may reserve, and says which word it cannot read", () => {
  const good = parseConfig(["--resource", "gpu=2", "--resource", "ssd=1,nic=4"], {});
  expect(good.kind === "config" && good.config.resources).toEqual({ gpu: 2, ssd: 1, nic: 4 });
  const env = { BERTH_RESOURCE: "gpu=1,ssd=2" };
  const fromEnv = parseConfig([], env);
  expect(fromEnv.kind === "config" && fromEnv.config.resources).toEqual({ gpu: 1, ssd: 2 });
  const fromFlag = parseConfig(["--resource", "nic=1"], env);
  expect(fromFlag.kind === "config" && fromFlag.config.resources).toEqual({ nic: 1 });
  expect(parseConfig(["--resource", "gpu", "--resource", "a=-1"], {})).toEqual({
    kind: "invalid",
    problems: [
      '--resource: "gpu" is not KIND=COUNT, such as gpu=2',
      '--resource: "a=-1" is not KIND=COUNT, such as gpu=2',
    ],
  });
});
