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
      imageCacheBytes: 2 * 1024 ** 3,
      imageListen: "",
      ingressUser: "",
      ingressUnit: "",
      metrics: "",
      resources: {},
      logLevel: "info",
    },
  });
});

test("parseConfig reports all problems at once", () => {
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
    '--ingress: invalid value "fast": must be one of auto, kernel, userspace',
    '--server: invalid address "nowhere": must be HOST:PORT',
    '--server: invalid address "x:99999": must be HOST:PORT',
    "--advertise: other hosts cannot reach 0.0.0.0; use an address of this host",
    '--metrics: invalid address "9000": must be HOST:PORT',
    '--log-level: invalid value "loud": must be one of debug, info, warn, error, silent',
  ]);
  expect(parseConfig(["--no-such-flag"], {})).toEqual({
    kind: "invalid",
    problems: ["unknown option '--no-such-flag'"],
  });
});

test("parseConfig knows no address of the host unless a flag or BERTH_ADVERTISE has one", () => {
  const addressOf = (env: NodeJS.ProcessEnv) => {
    const parsed = parseConfig([], env);
    return parsed.kind === "config" ? parsed.config.advertiseAddress : parsed;
  };
  expect(addressOf({})).toBeUndefined();
  expect(addressOf({ BERTH_ADVERTISE: "10.0.0.2" })).toBe("10.0.0.2");
});

test("parseConfig parses generic resources and names the values that are invalid", () => {
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
      '--resource: invalid value "gpu": must be KIND=COUNT or KIND=NAME, such as gpu=2',
      '--resource: invalid value "a=-1": must be KIND=COUNT or KIND=NAME, such as gpu=2',
    ],
  });
});

test("parseConfig parses the names of generic resources", () => {
  const named = parseConfig(["--resource", "gpu=GPU-1,ssd=2", "--resource", "gpu=GPU-2"], {});
  expect(named.kind === "config" && named.config.resources).toEqual({ gpu: ["GPU-1", "GPU-2"], ssd: 2 });
  expect(parseConfig(["--resource", "gpu=a,gpu=a,gpu=2,ssd=1,ssd=b"], {})).toEqual({
    kind: "invalid",
    problems: [
      '--resource: invalid value "gpu=a": the name is declared twice',
      '--resource: invalid value "gpu=2": a kind must have either a count or names',
      '--resource: invalid value "ssd=b": a kind must have either a count or names',
    ],
  });
});
