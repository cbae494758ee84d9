import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { BERTH_VERSION } from "@berth/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { scaleTimeout } from "../../deploy/lab/wait-until.js";
import { eventuallyPasses } from "../harness/eventually.js";
import { SystemdHost, systemdHostProblem } from "../harness/systemd-host.js";
import { temporaryDirectory } from "../harness/temporary-directory.js";
import {
  buildPackage,
  copyInto,
  installNodeStub,
  missingIn,
  PORT,
  prepareHost,
  takeSnapshot,
} from "./package-host.js";

const BOOT_TIMEOUT_MS = scaleTimeout(240_000);
const TEST_TIMEOUT_MS = scaleTimeout(600_000);
const REPETITION_TIMEOUT_MS = 180_000;
/** The addresses in the README. */
const ADDRESS = "192.0.2.1";
const OTHER_ADDRESS = "192.0.2.11";
/** The name of the package in the README. */
const PACKAGE = `berth_${BERTH_VERSION}_amd64.deb`;
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const STACK = `
services:
  web:
    image: web:1
    command: [/bin/busybox, httpd, -f, -p, "80", -h, /www]
    ports: ["${PORT}:80"]
    deploy: {replicas: 2}
`;
const directory = temporaryDirectory();
const problem = systemdHostProblem(directory);

describe.skipIf(problem !== undefined)(
  `commands for hosts${problem ? ` (skipped: ${problem})` : ""}`,
  () => {
    /** Has the server, and runs the commands. */
    let first: SystemdHost;
    let second: SystemdHost;
    let before: readonly string[];

    /** Runs a command line on the first host. */
    const berth = (...args: string[]) => first.run(["berth", ...args], { timeoutMs: 180_000 });

    const add = (...args: string[]) => berth("host", "add", `root@${OTHER_ADDRESS}`, ...args);
    const differences = async (): Promise<object> => {
      const after = await takeSnapshot(second);
      return { added: missingIn(before, after), removed: missingIn(after, before) };
    };

    beforeAll(async () => {
      [first, second] = await Promise.all([boot("host-1", ADDRESS), boot("host-2", OTHER_ADDRESS)]);
      await first.connect(second, "lan");
      await allowLogins(first, [first, second]);
      await first.shell(`ssh-keyscan ${ADDRESS} ${OTHER_ADDRESS} >/root/.ssh/known_hosts`);
      // The first login creates files.
      await first.shell(`ssh root@${OTHER_ADDRESS} true`);
      before = await takeSnapshot(second);
      await copyInto(first, await buildPackage(directory), PACKAGE);
    }, BOOT_TIMEOUT_MS);

    afterAll(async () => {
      await Promise.all([first, second].map((host) => host?.powerOff()));
      rmSync(directory, { recursive: true, force: true });
    });

    test("the commands of the README work as they are written, and leave a removed host as it was before", async () => {
      await first.shell("cat >/tmp/compose.yml", { input: STACK });
      const section = README.slice(README.indexOf("## On your own hosts"));
      const [, commands = ""] = /^```\n(.*?)^```$/ms.exec(section) ?? [];
      expect(commands).toContain("berth host add");
      const output = await first.shell(`cd /tmp\n${commands}`, { timeoutMs: TEST_TIMEOUT_MS });
      expect(withoutIds(output).split("\n").filter(isAboutHost)).toMatchInlineSnapshot(`
        [
          "host-1: check the host with berth doctor",
          "host-1: join the cluster at 192.0.2.1:7400",
          "host-1: start berth-agent",
          "host-1: wait until it is ready",
          "host-1 is node ID of the cluster CLUSTER",
          "host-2: install berth 0.2.0, conntrack, wireguard-tools",
          "host-2: check the host with berth doctor",
          "host-2: join the cluster at 192.0.2.1:7400",
          "host-2: set the labels zone=b",
          "host-2: start berth-agent",
          "host-2: wait until it is ready",
          "host-2 is node ID of the cluster CLUSTER",
          "host-2: move its tasks to other nodes",
          "host-2: stop the agent",
          "host-2: remove the node ID from the cluster",
          "host-2: remove berth and its containers",
          "host-2 has left the cluster CLUSTER",
        ]
      `);
      expect(output).toContain("shop_web: 6/6 running");
      expect(output).toMatch(/host-2 +Ready +Active +192\.0\.2\.11 +[1-9]/);
      expect(await first.shell("docker ps --quiet | wc -l")).toBe("6\n");
      await expect.poll(differences).toEqual({ added: [], removed: [] });
    });

    test("host add explains why it cannot use a host, and changes nothing there", async () => {
      const messages = {
        unreachable: await berth("host", "add", "root@192.0.2.77"),
        "another key": await withOtherHostKey(second, () => add()),
        "no key of the user": await withoutLogins(second, () => add()),
        "closed port": await withClosedPort(second, () => add()),
        "another architecture": await add("--package", "/tmp/berth_1_sparc.deb"),
      };
      const lines = Object.entries(messages).map(([name, { code, stderr }]) => `${name}: ${code} ${stderr}`);
      expect(lines.join("")).toMatchInlineSnapshot(`
        "unreachable: 1 error: cannot connect to root@192.0.2.77 with ssh: connect to host 192.0.2.77 port 22: No route to host; check that the host is up and that its sshd listens: ssh root@192.0.2.77
        (BERTH_HOST_UNREACHABLE)
        another key: 1 error: cannot connect to root@192.0.2.11 with ssh: Host key verification failed; connect once with "ssh root@192.0.2.11" and compare the key of the host, which is unknown or has changed
        (BERTH_HOST_UNREACHABLE)
        no key of the user: 1 error: cannot connect to root@192.0.2.11 with ssh: root@192.0.2.11: Permission denied (publickey,password); allow your key there, for example with "ssh-copy-id root@192.0.2.11"
        (BERTH_HOST_UNREACHABLE)
        closed port: 1 error: cannot add root@192.0.2.11: it cannot connect to 192.0.2.1:7400: the port is closed, or the address is not for other hosts; check firewalls, and --listen or --advertise of the servers
        (BERTH_HOST_UNSUITABLE)
        another architecture: 2 error: --package /tmp/berth_1_sparc.deb: the package is for sparc, but the host has amd64
        (BERTH_INPUT_INVALID)
        "
      `);
      await expect.poll(differences).toEqual({ added: [], removed: [] });
    });

    test("host add installs the package of the command line, and a repetition changes nothing", async () => {
      const added = await add("--label", "zone=b");
      expect(withoutIds(added.stdout)).toMatchInlineSnapshot(`
        "host-2: install berth 0.2.0, conntrack, wireguard-tools
        host-2: check the host with berth doctor
        host-2: join the cluster at 192.0.2.1:7400
        host-2: set the labels zone=b
        host-2: start berth-agent
        host-2: wait until it is ready
        host-2 is node ID of the cluster CLUSTER
        "
      `);
      expect(added.code).toBe(0);
      const node = await nodeOn(first, "host-2");
      expect(node).toMatchObject({ status: "ready", address: OTHER_ADDRESS, labels: { zone: "b" } });
      expect(await second.shell("dpkg --status berth")).toContain(`Version: ${BERTH_VERSION}
`);
      expect(await tokensOn(first)).toEqual([]);
      const state = async (): Promise<readonly string[]> => [
        await second.shell("systemctl show --property MainPID berth-agent berth-ingress"),
        ...(await takeSnapshot(second)),
      ];
      // Once more if the ingress process adds its tables and rules meanwhile, which it does after the node is ready.
      const repeated = await eventuallyPasses(async () => {
        const before = await state();
        const result = await add("--label", "zone=b");
        expect(await state()).toEqual(before);
        return result;
      }, REPETITION_TIMEOUT_MS);
      expect(withoutIds(repeated.stdout)).toMatchInlineSnapshot(`
        "host-2 is node ID of the cluster CLUSTER; nothing to change
        "
      `);
    });

    test("host rm finds the host of a node, and a repetition changes nothing", async () => {
      const { stdout } = await berth("host", "rm", "host-2");
      expect(withoutIds(stdout).split("\n").filter(isAboutHost)).toMatchInlineSnapshot(`
        [
          "host-2: move its tasks to other nodes",
          "host-2: stop the agent",
          "host-2: remove the node ID from the cluster",
          "host-2: remove berth and its containers",
          "host-2 has left the cluster CLUSTER",
        ]
      `);
      expect(await first.shell("berth node ls --quiet | wc -l")).toBe("1\n");
      await expect.poll(differences).toEqual({ added: [], removed: [] });
      const repeated = await berth("host", "rm", `root@${OTHER_ADDRESS}`);
      expect(repeated.stdout).toBe("host-2 has nothing of berth; nothing to change\n");
    });

    test("a host without ssh installs berth from the server with the line of host script", async () => {
      const line = (await berth("host", "script", "--label", "zone=c")).stdout;
      const altered = line.replace(/"[0-9a-f]{64} /, `"${"0".repeat(64)} `);
      expect((await second.run(["sh", "-c", altered])).stderr).toContain("another checksum");
      await expect.poll(differences).toEqual({ added: [], removed: [] });
      const installed = await second.runOrThrow(["sh", "-c", line]);
      expect(installed).toContain("berth: this host is a node");
      await first.shell(
        "timeout 60 sh -c 'until berth node ls --quiet --filter node.label=zone=c | grep .; do sleep 1; done'",
      );
      // The token is used up, but not needed again.
      expect(await second.runOrThrow(["sh", "-c", line])).toContain("berth: this host is a node");
      expect((await berth("host", "rm", "--force", `root@${OTHER_ADDRESS}`)).code).toBe(0);
    });

    test("a machine with the user data of host user-data installs berth and joins", async () => {
      const { stdout } = await berth("host", "user-data", "--label", "zone=d");
      const { write_files: files, runcmd } = parse(stdout);
      for (const { path, permissions, content } of files) {
        await second.shell(`mkdir -p ${dirname(path)}; cat >${path}; chmod ${permissions} ${path}`, {
          input: content,
        });
      }
      for (const command of runcmd) await second.runOrThrow(command);
      await first.shell(
        "timeout 60 sh -c 'until berth node ls --quiet --filter node.label=zone=d | grep .; do sleep 1; done'",
      );
      expect(await second.shell("ls /run/berth-install 2>&1 || true")).toContain("No such file");
      expect((await berth("host", "rm", "--force", `root@${OTHER_ADDRESS}`)).code).toBe(0);
      await expect.poll(differences).toEqual({ added: [], removed: [] });
    });

    test("host add and rm work for a server, too", async () => {
      expect((await add("--role", "server")).stderr).toBe("");
      expect(await first.shell("berth server ls")).toMatch(/host-2 .*Up .*follower +voter/);
      expect(await add("--role", "server")).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("nothing to change"),
        stderr: "",
      });
      expect((await berth("host", "rm", `root@${OTHER_ADDRESS}`)).code).toBe(0);
      expect(await first.shell("berth server ls --quiet | wc -l")).toBe("1\n");
      await expect.poll(differences).toEqual({ added: [], removed: [] });
    });
  },
  TEST_TIMEOUT_MS,
);

async function boot(name: string, address: string): Promise<SystemdHost> {
  mkdirSync(join(directory, name));
  const host = await SystemdHost.boot(join(directory, name), name);
  await prepareHost(host, address);
  await installNodeStub(host);
  await host.shell("systemctl enable --now ssh");
  return host;
}

/** Lets root of a host log in on hosts. */
async function allowLogins(from: SystemdHost, hosts: readonly SystemdHost[]): Promise<void> {
  const key = await from.shell(`
mkdir -p -m 700 /root/.ssh
rm -f /root/.ssh/id_ed25519
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cat /root/.ssh/id_ed25519.pub`);
  for (const host of hosts) {
    await host.shell("mkdir -p -m 700 /root/.ssh; cat >/root/.ssh/authorized_keys", { input: key });
  }
}

/** Runs `act` while a host has another key than the user knows. */
async function withOtherHostKey<T>(host: SystemdHost, act: () => Promise<T>): Promise<T> {
  const key = "/etc/ssh/ssh_host_ed25519_key";
  await host.shell(
    `mv ${key} /tmp/key; ssh-keygen -q -t ed25519 -N '' -C '' -f ${key}; systemctl restart ssh`,
  );
  try {
    return await act();
  } finally {
    await host.shell(`mv /tmp/key ${key}; systemctl restart ssh`);
  }
}

/** Runs `act` while root cannot log in. */
async function withoutLogins<T>(host: SystemdHost, act: () => Promise<T>): Promise<T> {
  await host.shell("mv /root/.ssh/authorized_keys /tmp/authorized_keys");
  try {
    return await act();
  } finally {
    await host.shell("mv /tmp/authorized_keys /root/.ssh/authorized_keys");
  }
}

/** Runs `act` while a firewall keeps a host from the server. */
async function withClosedPort<T>(host: SystemdHost, act: () => Promise<T>): Promise<T> {
  await host.shell("iptables -I OUTPUT -p tcp --dport 7400 -j DROP");
  try {
    return await act();
  } finally {
    await host.shell("iptables -D OUTPUT -p tcp --dport 7400 -j DROP");
  }
}

async function nodeOn(host: SystemdHost, hostname: string): Promise<unknown> {
  const nodes: readonly { readonly hostname: string }[] = JSON.parse(
    await host.shell("berth node ls -o json"),
  );
  return nodes.find((node) => node.hostname === hostname);
}

async function tokensOn(host: SystemdHost): Promise<unknown> {
  return JSON.parse(await host.shell("berth token ls -o json"));
}

/** Whether a line is about a host as a whole. */
function isAboutHost(line: string): boolean {
  return /^host-\d(: | is | has )/.test(line);
}

/** Replaces ids of nodes and clusters, which are random. */
function withoutIds(text: string): string {
  return text.replace(/berth-[a-z0-9]{20}/g, "CLUSTER").replace(/\b[a-z0-9]{20}\b/g, "ID");
}
