import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { BERTH_VERSION } from "@berth/proto";
import { providePackage } from "@berth/proto/package";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { eventually } from "../harness/eventually.js";
import { SystemdHost, systemdHostProblem } from "../harness/systemd-host.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import {
  ADDRESS,
  buildPackage,
  copyInto,
  missingIn,
  PORT,
  packAsRelease,
  prepareHost,
  takeSnapshot,
  withTraffic,
} from "./package-host.js";

const run = promisify(execFile);
/** Bundling and compressing take about 10 s of CPU time. */
const BUILD_TIMEOUT_MS = scaleTimeout(180_000);
const directory = temporaryDirectory();
const host = join(directory, "host");
const berth = join(host, "usr/lib/berth", BERTH_VERSION, "berth.js");

/** Runs a command of the unpacked package, without anything of this checkout. */
async function runBerth(...args: string[]): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: directory };
  const { stdout } = await run(process.execPath, [berth, ...args], { cwd: directory, env });
  return stdout;
}

let file = "";

beforeAll(async () => {
  file = await buildPackage(join(directory, "first"));
  await run("dpkg-deb", ["--extract", file, host]);
}, BUILD_TIMEOUT_MS);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("a package has the same bytes when it is built again", { timeout: BUILD_TIMEOUT_MS }, async () => {
  const again = await buildPackage(join(directory, "second"), "077");
  const extracted = [join(directory, "first-files"), join(directory, "second-files")];
  for (const [index, archive] of [file, again].entries()) {
    await run("dpkg-deb", ["--raw-extract", archive, extracted[index] ?? ""]);
  }
  // `diff` fails if files differ, and names them.
  await run("diff", ["--recursive", "--brief", ...extracted]);
  const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  expect(hash(again)).toBe(hash(file));
});

test("an installed package can be built again from its files, unless one has changed", async () => {
  const unpack = async (archive: string, name: string): Promise<string> => {
    await run("dpkg-deb", ["--raw-extract", archive, join(directory, name)]);
    return join(directory, name);
  };
  const description = join(host, "usr/lib/berth", BERTH_VERSION, "package");
  const options = { architecture: "amd64", directory, store: "/nowhere", description };
  const { signal } = new AbortController();
  // Administrators change the settings.
  appendFileSync(join(host, "etc/berth/server.env"), "BERTH_LISTEN=192.0.2.1:7400\n");
  const again = (await providePackage(options, signal)) ?? "";
  const directories = [await unpack(file, "original"), await unpack(again, "again")];
  await run("diff", ["--recursive", "--no-dereference", ...directories]);
  appendFileSync(join(description, "links"), "usr/bin/other berth\n");
  await expect(providePackage(options, signal)).rejects.toMatchObject({
    code: "BERTH_DISK_FAILED",
    message: expect.stringContaining("links has changed since the installation"),
  });
});

test("a packaged command line runs without the dependencies of the checkout", async () => {
  expect(await runBerth("version")).toContain(`Client: ${BERTH_VERSION}`);
  expect(await runBerth("__complete", "stack", "de")).toBe("deploy\n");
  for (const program of ["server", "agent"]) {
    expect(await runBerth(program, "--help")).toContain(`Usage: berth ${program}`);
  }
});

test("a packaged server uses etcd and answers the packaged command line", async () => {
  const socket = join(directory, "server.sock");
  const args = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--socket", socket];
  const command = [process.execPath, berth, "server", ...args, "--data-dir", join(directory, "server")];
  const server = spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: "ignore" });
  try {
    await eventually("the socket of the server", () => existsSync(socket));
    await runBerth("--server", `unix:${socket}`, "token", "create");
    expect(await runBerth("--server", `unix:${socket}`, "token", "ls")).toContain("node");
  } finally {
    const exited = once(server, "exit");
    server.kill("SIGTERM");
    await exited;
  }
});

test("each command has a manual page", async () => {
  const pages = readdirSync(join(host, "usr/share/man/man1"));
  expect(pages).toEqual(
    expect.arrayContaining(["berth.1.gz", "berth-stack-deploy.1.gz", "berth-server.1.gz"]),
  );
  const { stdout } = await run("zcat", [join(host, "usr/share/man/man1/berth-stack-deploy.1.gz")]);
  expect(stdout).toContain("\\-\\-compose\\-file");
  expect(stdout).toContain("$ berth stack deploy \\-c compose.yaml shop");
});

test("the copyright file names each bundled library", () => {
  const copyright = readFileSync(join(host, "usr/share/doc/berth/copyright"), "utf8");
  for (const library of ["@grpc/grpc-js", "dockerode", "etcd3", "pino", "yaml"]) {
    expect(copyright).toMatch(new RegExp(`^Comment: includes ${library} \\d`, "m"));
  }
});

const problem = systemdHostProblem(directory);

describe.skipIf(problem !== undefined)(
  `on a host with systemd${problem ? ` (skipped: ${problem})` : ""}`,
  () => {
    /** The largest exposure of a service that `systemd-analyze security` may report. */
    const MAX_EXPOSURE = 3;
    const WATCHDOG_S = 5;
    const NEXT_RELEASE = "9.0.0";
    let systemd: SystemdHost;
    let before: readonly string[];

    const install = (path: string): Promise<string> =>
      // The Node.js of this machine may not be a package of Debian. Manual pages are indexed by a trigger, for seconds.
      systemd.runOrThrow(["dpkg", "--force-depends", "--no-triggers", "--install", path]);
    const property = async (unit: string, name: string): Promise<string> =>
      (await systemd.runOrThrow(["systemctl", "show", "--property", name, "--value", unit])).trim();
    const mainPid = (unit: string): Promise<string> => property(unit, "MainPID");
    const isNewProcess = async (unit: string, previous: string): Promise<boolean> =>
      (await property(unit, "ActiveState")) === "active" && (await mainPid(unit)) !== previous;

    beforeAll(async () => {
      systemd = await SystemdHost.boot(directory);
      await prepareHost(systemd);
      before = await takeSnapshot(systemd);
    }, BUILD_TIMEOUT_MS);
    afterAll(() => systemd?.powerOff());

    test("the package starts nothing, and the unit of the server is hardened", async () => {
      await install(await copyInto(systemd, file, "berth.deb"));
      for (const unit of ["berth-server", "berth-agent", "berth-ingress"]) {
        expect(await property(unit, "ActiveState")).toBe("inactive");
        expect(await property(unit, "UnitFileState")).not.toBe("enabled");
      }
      await systemd.shell(
        `echo BERTH_LISTEN=${ADDRESS}:7400 >>/etc/berth/server.env; systemctl start berth-server`,
      );
      const report = await systemd.runOrThrow(["systemd-analyze", "security", "--no-pager", "berth-server"]);
      const [, exposure] = /exposure level for berth-server.service: ([\d.]+)/.exec(report) ?? [];
      expect(Number(exposure)).toBeLessThanOrEqual(MAX_EXPOSURE);
      expect(await systemd.runOrThrow(["systemctl", "show", "--property", "User", "berth-server"])).toBe(
        "User=berth\n",
      );
    });

    test("an ingress process in a unit of its own outlives the agent", async () => {
      await systemd.shell(`
echo BERTH_INGRESS=userspace >>/etc/berth/agent.env
berth token create | berth agent join ${ADDRESS}:7400 --token-file - --advertise ${ADDRESS}
systemctl start berth-agent
timeout 60 sh -c 'until berth node ls | grep -q Ready; do sleep 0.2; done'
cat >/tmp/compose.yaml <<END
services:
  web:
    image: web:1
    command: [/bin/busybox, httpd, -f, -p, "80", -h, /www]
    ports: ["${PORT}:80"]
    configs: [page]
    deploy: {replicas: 2}
configs:
  page: {content: hello}
END
berth stack deploy -c /tmp/compose.yaml shop`);
      const ingress = await mainPid("berth-ingress");
      expect(Number(ingress)).toBeGreaterThan(0);
      const traffic = await withTraffic(systemd, async () => {
        await systemd.shell("systemctl stop berth-agent; sleep 1; systemctl start berth-agent");
      });
      expect(traffic).toEqual({ sent: expect.any(Number), failed: 0 });
      expect(traffic.sent).toBeGreaterThan(50);
      expect(await mainPid("berth-ingress")).toBe(ingress);
      // Without the identifier, the last line may be systemd's own about the unit, and without the priority, a warning.
      const journal = await systemd.shell(
        "journalctl --no-pager --output json --unit berth-agent --identifier berth-agent --priority info..info --lines 1",
      );
      expect(JSON.parse(journal)).toMatchObject({ PRIORITY: "6", _SYSTEMD_UNIT: "berth-agent.service" });
    });

    test("the watchdog restarts a server and an agent that are stopped, without a failed request", async () => {
      const units = ["berth-server", "berth-agent"];
      await systemd.shell(`
for unit in ${units.join(" ")}; do
  mkdir -p /run/systemd/system/$unit.service.d
  printf '[Service]\nWatchdogSec=${WATCHDOG_S}\n' >/run/systemd/system/$unit.service.d/watchdog.conf
done
systemctl daemon-reload
systemctl restart ${units.join(" ")}`);
      const stopped = await Promise.all(units.map(mainPid));
      const traffic = await withTraffic(systemd, async () => {
        await systemd.runOrThrow(["kill", "-STOP", ...stopped]);
        await eventually("new processes of both units", async () => {
          const isNew = await Promise.all(
            units.map((unit, index) => isNewProcess(unit, stopped[index] ?? "")),
          );
          return isNew.every(Boolean);
        });
      });
      expect(traffic.failed).toBe(0);
      expect(await property("berth-agent", "NRestarts")).toBe("1");
      await systemd.shell("rm -r /run/systemd/system/berth-*.d; systemctl daemon-reload");
    });

    test("an upgrade and a downgrade pass the sockets on inside the unit, without a failed request", async () => {
      const next = await copyInto(systemd, await packAsRelease(file, NEXT_RELEASE, directory), "next.deb");
      for (const [path, release] of [
        [next, NEXT_RELEASE],
        ["/tmp/berth.deb", BERTH_VERSION],
      ] as const) {
        const ingress = await mainPid("berth-ingress");
        const traffic = await withTraffic(systemd, async () => {
          await install(path);
          await eventually(`an ingress process of ${release}`, () => isNewProcess("berth-ingress", ingress));
        });
        expect(traffic.failed).toBe(0);
        const command = await systemd.shell(`tr '\\0' ' ' </proc/${await mainPid("berth-ingress")}/cmdline`);
        expect(command).toContain(`--release ${release}`);
      }
      expect(await property("berth-ingress", "NRestarts")).toBe("0");
      expect(await systemd.runOrThrow(["ls", "/usr/lib/berth"])).toBe(`${BERTH_VERSION}\n`);
    });

    test("a removal keeps the containers, and the agent of the package that is installed again adopts them", async () => {
      const containers = (): Promise<string> => systemd.shell("docker ps --quiet --no-trunc | sort");
      const before = await containers();
      await systemd.shell("dpkg --no-triggers --remove berth");
      expect(await containers()).toBe(before);
      expect(
        await systemd.shell(
          "nft list tables; ls /var/lib/berth/agent/identity; mountpoint /run/berth/secrets",
        ),
      ).not.toMatch(/ip berth/);
      await install("/tmp/berth.deb");
      await systemd.shell("systemctl start berth-server berth-agent");
      await eventually("the published port", () =>
        systemd.shell(`busybox wget -q -O - http://${ADDRESS}:${PORT}/`),
      );
      expect(await containers()).toBe(before);
    });

    test("a purge leaves the host as it was, and a container of others running", async () => {
      await systemd.shell(`
docker run --detach --name foreign --network host --label berth.task.id=x web:1 /bin/busybox sleep 1000
systemctl enable berth-agent berth-server
echo 'berth berth/remove-containers boolean true' | debconf-set-selections
dpkg --no-triggers --purge berth
docker inspect foreign --format '{{.State.Status}}' | grep -x running
docker ps --quiet --all | wc -l | grep -x 1
docker network ls --quiet | wc -l | grep -x 3`);
      // systemd removes the runtime files of units that have ended a moment later.
      await expect
        .poll(async () => {
          const after = await takeSnapshot(systemd);
          return { added: missingIn(before, after), removed: missingIn(after, before) };
        })
        .toEqual({ added: [], removed: [] });
    });
  },
);
