import { imageProblem } from "@berth/proto";
import { EngineError } from "../engine-error.js";

/**
 * Returns the name of an image for a path of Docker's API. It is part of the path, so another path must not pass for
 * one.
 *
 * @throws EngineError `invalid` if the image is not a reference by Docker's grammar
 */
export function imageName(image: string): string {
  requireImageReference(image);
  return image.split("/").map(encodeURIComponent).join("/");
}

/** @throws EngineError `invalid` if the image is not a reference by Docker's grammar */
export function requireImageReference(image: string): void {
  const problem = imageProblem(image);
  if (problem !== undefined) throw new EngineError("invalid", `invalid image: ${problem}`);
}
