import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runOrThrow } from "../../deploy/lab/run.js";
import type { SystemdHost } from "../harness/systemd-host.js";

export const ADDRESS = "10.99.0.1";
export const PORT = 8_080;

/** Sends a request on a new connection every 5 ms until stdin ends, then prints the counts. */
const TRAFFIC = `
const { get } = require("node:http");
let [sent, failed] = [0, 0];
const send = () => {
  sent += 1;
  const request = get({ host: "${ADDRESS}", port: ${PORT}, agent: false, timeout: 10_000 }, (response) => {
    if (response.statusCode !== 200) failed += 1;
    response.resume();
  });
  request.on("timeout", () => request.destroy(new Error("timeout"))).on("error", () => { failed += 1; });
};
const timer = setInterval(send, 5);
process.stdin.resume().on("end", () => {
  clearInterval(timer);
  process.on("exit", () => console.log(JSON.stringify({ sent, failed })));
});`;

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL("../../deploy/package/main.ts", import.meta.url));

/** What a purge has to leave as it was. The files of Docker, systemd and PackageKit are not among it. */
const SNAPSHOT = `
nft list tables
ip -brief link | awk '{ print $1 }'
iptables-save | grep -v '^[#:]' || true
getent passwd
getent group
systemctl list-unit-files --no-legend --no-pager | awk '{ print $1 }'
awk '{ print $2 }' /proc/self/mounts | grep -v docker
find /etc /usr/lib /var/lib /run -xdev \\( -path /var/lib/docker -o -path /var/lib/dpkg -o -path '/var/lib/berth-lab' \\
  -o -path /run/systemd -o -path /run/docker -o -path /run/containerd -o -path /var/lib/containerd \\
  -o -path /run/log -o -path /run/user -o -path '/var/lib/systemd' -o -path /var/lib/PackageKit \\) -prune -o -print | sort`;

/** Builds the package without Node.js, and returns its path. */
export async function buildPackage(directory: string, umask = "022"): Promise<string> {
  const command = `umask ${umask} && exec "$@"`;
  const args = [process.execPath, "--import", "tsx", BUILD, "--out", directory, "all"];
  const { stdout } = await run("sh", ["-c", command, "sh", ...args], { cwd: join(BUILD, "../../..") });
  return stdout.trim();
}

/** Returns the state of a host, one line for each thing. */
export async function takeSnapshot(host: SystemdHost): Promise<readonly string[]> {
  return (await host.shell(SNAPSHOT)).split("\n");
}

/** Gives the host an address, Docker, and the image `web:1`, which serves a page on port 80. */
export async function prepareHost(host: SystemdHost, address = ADDRESS): Promise<void> {
  await host.shell(`
[ -e /usr/bin/node ] || ln -s ${process.execPath} /usr/bin/node
ip link add lan type bridge
ip address add ${address}/24 dev lan
ip link set lan up
systemctl start docker
mkdir -p /tmp/image/bin /tmp/image/www
cp "$(command -v busybox)" /tmp/image/bin/busybox
echo hello >/tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - web:1`);
}

/** Lets the package of Debian's Node.js count as installed: the Node.js of this machine may not be a package. */
export async function installNodeStub(host: SystemdHost): Promise<void> {
  await host.shell(`
! dpkg-query --show nodejs || exit 0
mkdir -p /tmp/nodejs/DEBIAN
cat >/tmp/nodejs/DEBIAN/control <<END
Package: nodejs
Version: 99
Architecture: all
Maintainer: berth maintainers <maintainers@berth.invalid>
Description: stands for the Node.js of this machine
END
dpkg-deb --build /tmp/nodejs /tmp/nodejs.deb
dpkg --install /tmp/nodejs.deb`);
}

/** Returns the lines of a list that another list does not have. */
export function missingIn(others: readonly string[], lines: readonly string[]): readonly string[] {
  const known = new Set(others);
  return lines.filter((line) => !known.has(line));
}

/** Copies a file into the /tmp of the host, and returns its path there. */
export async function copyInto(host: SystemdHost, file: string, name: string): Promise<string> {
  const path = `/tmp/${name}`;
  // /tmp is a file system of the host's own, so the bytes go through a pipe.
  await runOrThrow([
    "sh",
    "-euc",
    'file=$1 path=$2; shift 2; exec "$@" sh -c "cat >$path" <"$file"',
    "sh",
    file,
    path,
    ...host.commandInside([]),
  ]);
  return path;
}

/** Sends requests to the published port while `act` runs. */
export async function withTraffic(
  host: SystemdHost,
  act: () => Promise<void>,
): Promise<{ readonly sent: number; readonly failed: number }> {
  const [program = "", ...args] = host.commandInside(["node", "-e", TRAFFIC]);
  const traffic = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const output = text(traffic.stdout);
  try {
    await act();
  } finally {
    traffic.stdin.end();
    await once(traffic, "exit");
  }
  return JSON.parse(await output);
}

/** Packs the files of a package as another release, and returns the path of the result. */
export async function packAsRelease(file: string, version: string, directory: string): Promise<string> {
  const root = join(directory, `as-${version}`);
  mkdirSync(root, { recursive: true });
  await runOrThrow(["dpkg-deb", "--raw-extract", file, root]);
  const control = join(root, "DEBIAN/control");
  const text = readFileSync(control, "utf8");
  const [, previous = ""] = /^Version: (.*)$/m.exec(text) ?? [];
  writeFileSync(control, text.replace(/^Version: .*$/m, `Version: ${version}`));
  const library = join(root, "usr/lib/berth");
  renameSync(join(library, previous), join(library, version));
  rmSync(join(root, "usr/bin/berth"));
  symlinkSync(`../lib/berth/${version}/berth.js`, join(root, "usr/bin/berth"));
  // The bundle has copies of the constant BERTH_VERSION.
  const quoted = (text: string): string => `"${text.replaceAll(".", "\\.")}"`;
  const edit = `s/${quoted(previous)}/"${version}"/g`;
  await runOrThrow(["sh", "-euc", 'sed -i "$2" "$1"/*.js', "sh", join(library, version), edit]);
  const result = join(directory, `berth_${version}.deb`);
  await runOrThrow(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, result]);
  return result;
}
