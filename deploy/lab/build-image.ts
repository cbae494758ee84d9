import { docker } from "./images.js";

export interface BuildImageOptions {
  readonly source: string;
  readonly tag: string;
  readonly dockerSocket: string;
}
export async function buildImage({ source, tag, dockerSocket }: BuildImageOptions): Promise<void> {
  await docker(dockerSocket, ["build", "--tag", tag, source]);
}
