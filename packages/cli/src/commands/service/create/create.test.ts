import {
  BerthError,
  type CreateServiceRequest,
  EndpointMode,
  ServiceOutcome_Kind as Kind,
  ResolveImage,
  type ServiceSpec,
} from "@berth/proto";
import { describe, expect, test } from "vitest";
import { berth } from "../../../testing/run-berth.js";
import { UPDATE_FLAGS } from "../update/flags.js";
import { CREATE_OPTIONS } from "./create-flags.js";
import { newName } from "./new-service.js";

/** Runs a command that creates a service, and returns the request and what the command printed. */
async function create(line: string, { kind = Kind.CREATED as Kind, env = {} } = {}) {
  const requests: CreateServiceRequest[] = [];
  const result = await berth(
    `service create -d ${line}`,
    {
      createService: async (request) => {
        requests.push(request);
        const name = request.spec?.name ?? "";
        return { service: { serviceId: "s1", name, kind, version: 1 }, warnings: [] };
      },
    },
    { env },
  );
  return { ...result, request: requests[0], requests };
}

const specOf = async (line: string): Promise<ServiceSpec | undefined> => (await create(line)).request?.spec;

describe("service create", () => {
  test("sends the spec with Docker's options, and leaves the options of the command alone", async () => {
    const { code, out, request } = await create(
      "--name web --replicas 3 -e A=1 -e GIVEN -e UNSET -l team=a -p 8080:80 --mount src=data,dst=/data --secret key --network name=net,alias=www --cap-add NET_ADMIN -w /srv -t --no-healthcheck nginx:1.28 serve -p 80 --name x",
      { env: { GIVEN: "2" } },
    );
    expect([code, out]).toEqual([0, "Service web created, version 1\n"]);
    expect(request).toMatchObject({
      resolveImage: ResolveImage.ALWAYS,
      spec: {
        name: "web",
        stack: "",
        labels: { team: "a" },
        endpointMode: EndpointMode.VIP,
        mode: { $case: "replicated", value: { replicas: 3 } },
        ports: [{ target: 80, published: 8080 }],
        task: {
          networks: [{ network: "net", aliases: ["www"] }],
          container: {
            image: "nginx:1.28",
            command: { values: ["serve", "-p", "80", "--name", "x"] },
            env: ["A=1", "GIVEN=2"],
            mounts: [{ target: "/data" }],
            files: [{ name: "key" }],
            capAdd: ["NET_ADMIN"],
            workingDir: "/srv",
            tty: true,
            healthcheck: { test: ["NONE"] },
          },
        },
      },
    });
  });

  test.each([
    ["--mode global nginx", { $case: "global", value: {} }],
    ["--mode global-job nginx", { $case: "globalJob", value: {} }],
    [
      "--mode replicated-job --replicas 4 --max-concurrent 2 nginx",
      { $case: "replicatedJob", value: { totalCompletions: 4, maxConcurrent: 2 } },
    ],
  ])("--mode sets the mode: %s", async (line, mode) => {
    expect((await specOf(line))?.mode).toEqual(mode);
  });

  test("counts a service as created if a leader whose term ended can have created it", async () => {
    const attempt = async (error: BerthError) => {
      let calls = 0;
      return berth("service create -d --name web nginx", {
        createService: async () => {
          calls += 1;
          if (calls === 1) throw error;
          return {
            service: { serviceId: "s1", name: "web", kind: Kind.UNCHANGED, version: 1 },
            warnings: [],
          };
        },
      });
    };
    const lost = await attempt(new BerthError({ code: "BERTH_NOT_LEADER", message: "its term ended" }));
    expect([lost.code, lost.err]).toEqual([0, ""]);
    const unsent = await attempt(new BerthError({ code: "BERTH_NO_LEADER", message: "no leader" }));
    expect(unsent.err).toContain("it already exists");
  });

  test("--stack puts the service into a stack", async () => {
    expect(await specOf("--stack shop --name db postgres")).toMatchObject({ name: "shop_db", stack: "shop" });
  });

  test("reports an invalid variable without calling the server", async () => {
    const { code, err, requests } = await create("--name web --env =x nginx");
    expect([code, requests, err]).toMatchInlineSnapshot(`
      [
        2,
        [],
        "error: --env: "=x" is not NAME=VALUE
      (BERTH_INPUT_INVALID)
      ",
      ]
    `);
  });

  test("reports the problems of all flags at once, with the names of its own options", async () => {
    const { err } = await create(
      "--name web --publish 99999 --limit-cpu many --mode global --replicas 2 nginx",
    );
    expect(err).toMatchInlineSnapshot(`
      "error: service web was not created:
        --publish: "99999" is not a port: container port "99999" is not between 1 and 65535
        --replicas: the service runs one task per node and has no replicas
        --limit-cpu: "many" is not a number of CPUs; use a number such as 0.5 or 2
      (BERTH_INPUT_INVALID)
      "
    `);
  });

  test("fails when the service exists already", async () => {
    const { code, err } = await create("--name web nginx", { kind: Kind.UNCHANGED });
    expect([code, err]).toEqual([
      1,
      "error: service web was not created: it already exists; choose another name, or use berth service update\n(BERTH_CONFLICT)\n",
    ]);
  });

  test("has an option for each flag of service update that does not remove something", () => {
    const flags = Object.keys(UPDATE_FLAGS).filter((name) => !name.endsWith("-rm"));
    const covered = ["image", "args", ...CREATE_OPTIONS.map(({ flag }) => flag)];
    expect(covered.toSorted()).toEqual(flags.toSorted());
    expect(CREATE_OPTIONS.find(({ flag }) => flag === "publish-add")).toMatchObject({
      name: "publish",
      description: expect.stringMatching(/^published port: 8080:80/),
    });
  });
});

test.each([
  ["nginx", "nginx-0102"],
  ["registry:5000/team/My_App:1.2@sha256:abc", "my-app-0102"],
  ["sha256:abc", "sha256-0102"],
])("newName() derives a name from the image %s", (image, name) => {
  expect(newName(image, Uint8Array.of(1, 2))).toBe(name);
});
