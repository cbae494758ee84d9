import { CronSpec_Concurrency, TrafficSpec_Affinity, TrafficSpec_Balance, VolumePolicy } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { loadService, loadText } from "../../testing/load-text.js";

describe("x-berth", () => {
  test.each(["at_most_one", "at-most-one"])("accepts the spelling %s", (key) => {
    const { specs, messages } = loadText(`services: { s: { image: a, x-berth: { ${key}: true } } }`);
    expect(messages).toEqual([]);
    expect(specs).toMatchObject([{ atMostOne: true }]);
  });

  test("reads all keys of x-berth", () => {
    const { specs, messages } = loadText(`services:
  web:
    image: a
    x-berth:
      autoscale:
        min: 2
        max: 10
        target_cpu: 70%
        target_connections: 100.5
        scale_up_window: 10s
        scale_down_window: 2m
      failover: { after: 10s }
      volumes: sticky
      at_most_one: true
      proxy_protocol: true
      affinity: source
  api:
    image: a
    x-berth: { balance: least-connections, hold: 2s }
  backup:
    image: a
    x-berth:
      cron:
        schedule: "0 3 * * *"
        time_zone: Europe/Berlin
        concurrency: forbid
        history: 5
        starting_deadline: 10m
      failover: never
      hold: off
      volumes: any
`);
    expect(messages).toEqual([]);
    expect(specs).toMatchObject([
      {
        autoscale: {
          min: 2,
          max: 10,
          targetCpuPercent: 70,
          targetConnections: 100.5,
          scaleUpWindowMs: 10_000,
          scaleDownWindowMs: 120_000,
        },
        failover: { afterMs: 10_000, never: false },
        placement: { volumes: VolumePolicy.STICKY },
        atMostOne: true,
        traffic: { proxyProtocol: true, affinity: TrafficSpec_Affinity.SOURCE },
      },
      { traffic: { proxyProtocol: false, balance: TrafficSpec_Balance.LEAST_CONNECTIONS, holdMs: 2_000 } },
      {
        cron: {
          schedule: "0 3 * * *",
          timeZone: "Europe/Berlin",
          concurrency: CronSpec_Concurrency.FORBID,
          history: 5,
          startingDeadlineMs: 600_000,
        },
        failover: { afterMs: 0, never: true },
        traffic: { holdMs: 0 },
        placement: { volumes: VolumePolicy.ANY },
      },
    ]);
  });

  test("accepts short forms", () => {
    const { specs, messages } = loadService('x-berth: { cron: "@hourly", failover: 10s }');
    expect(messages).toEqual([]);
    expect(specs[0]).toMatchObject({ cron: { schedule: "@hourly" }, failover: { afterMs: 10_000 } });
    expect(loadService("x-berth: { failover: { after: never } }").specs[0]?.failover?.never).toBe(true);
  });

  test("x-berth is merged from several files like any other mapping", () => {
    const { specs } = loadText("services: { s: { image: a, x-berth: { failover: 5s, volumes: any } } }", {
      overrides: ["services: { s: { x-berth: { failover: never } } }"],
    });
    expect(specs[0]).toMatchObject({ failover: { never: true }, placement: { volumes: VolumePolicy.ANY } });
  });

  test("an autoscaled service with the minimum 0 has at most one replica by default", () => {
    const { specs } = loadService("x-berth: { autoscale: { min: 0 } }");
    expect(specs[0]?.autoscale).toMatchObject({ min: 0, max: 1 });
  });

  test("reports all invalid values at their places", () => {
    const { messages } = loadService(`x-berth:
  crn: "@hourly"
  cron: { time_zone: UTC }
  autoscale: { min: 2, target_cpu: lots }
  failover: { after: 10s, never: true }
  at_most_one: true
  at-most-one: true
  volumes: glue
  progress_deadline: 5
deploy: { x-berth: { cron: "@hourly" } }
x-berth.cron: "@hourly"`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:7: services.s.x-berth.crn: unknown key "crn"; did you mean "cron"?",
        "c.yaml:6:7: services.s.x-berth.cron: schedule must be set; use a form such as "0 3 * * *" or "@hourly"",
        "c.yaml:7:40: services.s.x-berth.autoscale.target_cpu: must be a number, not the text "lots"",
        "c.yaml:8:7: services.s.x-berth.failover: after and never are mutually exclusive",
        "c.yaml:10:7: services.s.x-berth.at-most-one: at_most_one and at-most-one are the same key; remove one of them",
        "c.yaml:11:16: services.s.x-berth.volumes: "glue" is invalid; use sticky, any",
        "c.yaml:12:26: services.s.x-berth.progress_deadline: the duration "5" has no unit; did you mean "5s"?",
        "c.yaml:13:15: services.s.deploy.x-berth: x-berth must be a key of the service, next to image",
        "c.yaml:14:5: services.s.x-berth.cron: unknown key "x-berth.cron"; use x-berth: { cron: … }",
      ]
    `);
    expect(loadService("x-berth:").messages).toEqual([]);
    expect(loadText("services: { my-x-berth: { image: a, x-berth-cron: daily } }").messages).toEqual([
      'c.yaml:1:37: services.my-x-berth.x-berth-cron: unknown key "x-berth-cron"; use x-berth: { cron: … }',
    ]);
    expect(loadService("x-berth: [cron]").messages).toEqual([
      "c.yaml:4:14: services.s.x-berth: must be a mapping, not a list",
    ]);
  });

  test("ignores extensions of other tools whose names start with x-berth", () => {
    expect(loadService("x-berthold: { cron: daily }\ndeploy: { x-berthold: 1 }").messages).toEqual([]);
  });
});
