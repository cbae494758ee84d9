import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createLab, type Lab } from "../../../deploy/lab/lab.js";
import { type DockerConfig, testLabName } from "../../../deploy/lab/lab-state.js";
import { type MachinePaths, machinePaths } from "../../../deploy/lab/paths.js";
import { removeLab } from "../../../deploy/lab/teardown.js";
import { eventually } from "../../harness/eventually.js";
import { importBusybox } from "./busybox-image.js";

const exec = promisify(execFile);

/** A Docker daemon of the test's own, with one small image. */
export class DockerHost {
  readonly lab: Lab;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async start(dockerConfig: DockerConfig = {}): Promise<DockerHost> {
    const host = new DockerHost(
      await createLab({ name: testLabName(), hosts: 1, hasBerth: false, dockerConfig }),
    );
    await importBusybox([host.socket]);
    return host;
  }

  get host(): Lab["hosts"][number] {
    return this.lab.host("h1");
  }

  /** The directories of the host on the disk of this machine. */
  get paths(): MachinePaths {
    return machinePaths(this.lab.name, this.host.name);
  }

  get socket(): string {
    return this.host.dockerSocket;
  }

  async docker(...args: string[]): Promise<string> {
    const { stdout } = await exec("docker", ["-H", `unix://${this.socket}`, ...args]);
    return stdout.trim();
  }

  /** Returns the IDs of the running containers of a task. */
  async runningContainers(taskId: string): Promise<string[]> {
    const ids = await this.docker("ps", "-q", "--no-trunc", "--filter", `label=berth.task.id=${taskId}`);
    return ids === "" ? [] : ids.split("\n");
  }

  async removeContainers(): Promise<void> {
    // Repeated, because a removal fails while the agent removes the same container.
    await eventually("no container is left", async () => {
      const ids = await this.docker("ps", "-aq");
      if (ids !== "") await this.docker("rm", "-fv", ...ids.split("\n")).catch(() => {});
      return ids === "";
    });
  }

  async close(): Promise<void> {
    await removeLab(this.lab.name);
  }
}
