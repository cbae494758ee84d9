import { createHmac, timingSafeEqual } from "node:crypto";
import { readField, readString } from "../core/docker/json.js";
import { OWNER_LABEL, TASK_LABEL } from "../core/docker/labels.js";
import type { ContainerConfig } from "../core/tasks/container-config.js";

/** Number of hexadecimal digits of a proof: 128 bits. */
const PROOF_LENGTH = 32;

/** Marks the containers that an agent creates, and recognizes them. */
export interface ContainerOwner {
  /** Returns the configuration with the label that proves the owner. */
  sign(config: ContainerConfig): ContainerConfig;
  /** Returns the task that a container belongs to, or "" for a container that this agent did not create. */
  taskIdOf(labels: unknown, name: string): string;
}

/**
 * Returns the owner with this secret key.
 *
 * The proof covers the name, because an image that was committed from a container has all labels of the container.
 * Docker permits each name once.
 */
export function containerOwner(key: string): ContainerOwner {
  const proofOf = (taskId: string, name: string): string =>
    createHmac("sha256", key)
      .update(JSON.stringify([taskId, name]))
      .digest("hex")
      .slice(0, PROOF_LENGTH);
  return {
    sign: (config) => {
      const { Labels } = config.body;
      const taskId = Labels[TASK_LABEL] ?? "";
      if (taskId === "") return config;
      const labels = { ...Labels, [OWNER_LABEL]: proofOf(taskId, config.name) };
      return { ...config, body: { ...config.body, Labels: labels } };
    },
    taskIdOf: (labels, name) => {
      const taskId = readString(readField(labels, TASK_LABEL));
      const proof = Buffer.from(readString(readField(labels, OWNER_LABEL)));
      if (taskId === "" || proof.length !== PROOF_LENGTH) return "";
      return timingSafeEqual(proof, Buffer.from(proofOf(taskId, name))) ? taskId : "";
    },
  };
}
